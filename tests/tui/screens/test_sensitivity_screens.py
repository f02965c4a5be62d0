"""Sensitivities in the lab: layers as lines, what may go of each layer, shapes that changed."""

from pathlib import Path
from typing import Any

import pytest

from engine.results import network
from engine.results.layers import of_trial
from engine.studies import events as ev
from engine.studies.state import StepState, StudyState, TrialState
from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import SIZES, painted, shows, until
from tui.app import Lab
from tui.views import curves, layers
from tui.views.curves import View
from tui.widgets.plot import Plot
from tui.widgets.table import Table


def names(app: Lab) -> list[str]:
    return [line.name for line in app.screen.query_one(Plot).shown.series]


@pytest.mark.parametrize("size", SIZES)
async def test_a_study_of_a_sensitivity_opens_with_its_layers(tmp_path: Path, size: tuple[int, int]) -> None:
    fabricate.scanned(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=size) as pilot:
        await shows(
            pilot, "x rate", "y validation_accuracy", "by 8 of 20 layers", "● conv1", "unpruned 98.50 %"
        )
        await pilot.press("right", "right")
        text = await shows(pilot, "conv1   rate 60.0 %   validation_accuracy 98.50 %", "unpruned 98.50 %")
        assert all(len(line) <= size[0] for line in text.splitlines())
        await pilot.press("enter")
        await shows(pilot, "trial 0 (0 to 0)", "sensitivity")


async def test_the_layers_drawn_are_chosen_and_every_measure_of_them(tmp_path: Path) -> None:
    fabricate.scanned(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "by 8 of 20 layers")
        await pilot.press("b")
        await shows(pilot, "Layers to draw", "84 % cost at most 1 point")
        await pilot.press("space", "down", "space", "enter")
        await until(pilot, lambda: names(app) == ["conv1", "layer1.0.conv1"])
        await shows(pilot, "by 2 of 20 layers")
        await pilot.press("y")
        await shows(pilot, "validation_loss", "macs")
        await pilot.press(*"loss", "enter")
        await shows(pilot, "y validation_loss")
        await pilot.press("b", "space", "down", "space", "enter")
        await until(pilot, lambda: len(names(app)) == 8)


async def test_of_two_steps_one_is_drawn_along(tmp_path: Path) -> None:
    fabricate.scanned(tmp_path, of=("weights", "channels"))
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "x weights.rate", "by 8 of 20 layers")
        await pilot.press("x")
        await shows(pilot, "Draw along", "channels.rate")
        await pilot.press(*"channels", "enter")
        await shows(pilot, "x channels.rate", "by 8 of 10 layers")
        await pilot.press("x")
        await shows(pilot, "Draw along")
        await pilot.press(*"sparsity", "enter")
        await shows(pilot, "x sparsity", "by –")


@pytest.mark.parametrize("size", SIZES)
async def test_the_layers_tell_what_of_them_may_go(tmp_path: Path, size: tuple[int, int]) -> None:
    fabricate.scanned(tmp_path)
    app = Lab(None, tmp_path, "layers")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "≤ 1 point", "90 % ████▌", "47 % ██▍··", "kept")
        row = next(line for line in painted(app).splitlines() if "linear" in line)
        assert "640" in row and "47 %" in row


async def test_both_kinds_have_their_column(tmp_path: Path) -> None:
    fabricate.scanned(tmp_path, of=("weights", "channels"))
    app = Lab(None, tmp_path, "layers")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "≤ 1 pt weights", "≤ 1 pt channels")
        assert len(app.screen.query_one(Table).rows) == 20


def row(shape: list[int], parameters: int) -> dict[str, Any]:
    found = {"name": "conv.weight", "type": "Conv2d", "shape": shape, "parameters": parameters}
    return found | {"sparsity": 0.0, "macs": 10, "effective_macs": 10}


def test_a_shape_that_changed_shows_what_it_was() -> None:
    (layer,) = network.joined([row([9, 3, 3, 3], 243)], [row([16, 3, 3, 3], 432)])
    assert (layer.before, layer.nonzero) == (432, 243)
    (cells,) = [found.cells for found in layers.rows([layer])]
    assert ("16→9×3×3×3", "") in cells
    shape = next(column for column in layers.headed([layer], "order") if column.label == "shape")
    (same,) = network.joined([row([16, 3, 3, 3], 432)], [row([16, 3, 3, 3], 432)])
    before = next(column for column in layers.headed([same], "order") if column.label == "shape")
    assert network.shape(same) == "16×3×3×3"
    assert shape.rank < before.rank, "it is kept longer where it tells something"


def test_what_steps_made_of_a_layer_comes_before_its_sparsity_and_its_bar() -> None:
    report = {"name": "conv", "kernels": 27, "entries": 4, "distortion": 0.1}
    step = StepState("k", "cluster.kernels", "cluster.kernels", "done", measures={"dictionaries": [report]})
    measure = StepState("m", "measure", "measure")
    forms = of_trial(TrialState(0, {}, [step], measure, None, "b", measure))
    (layer,) = network.joined([row([9, 3, 3, 3], 243)], [row([9, 3, 3, 3], 243)], forms=forms)
    (cells,) = [found.cells for found in layers.rows([layer])]
    columns = layers.headed([layer], "order")
    assert len(columns) == len(cells)
    told = dict(zip((column.label for column in columns), cells, strict=True))
    assert (told["made of it"], told["lost"]) == ("kernels 27→4", "10.0 %")
    ranks = {column.label: column.rank for column in columns}
    assert ranks["made of it"] == 0 < ranks["lost"] < ranks["sparsity"] < ranks["kept"]
    (plain,) = network.joined([row([9, 3, 3, 3], 243)], [])
    assert len(layers.headed([plain], "order")) == len(columns) - 2


def test_a_step_that_is_not_finished_is_told() -> None:
    state = StudyState()
    step = {"key": "s", "kind": "sensitivity", "address": "sensitivity"}
    trial = {"index": 0, "parameters": {}, "steps": [step], "measure": "m", "latency": None}
    state.apply(ev.StudyStarted(study="s-1", preset="s", host="login1", pid=1, environment={}))
    state.apply(ev.Planned(trials=[trial | {"baseline": "s", "baseline_measure": "m"}]))
    state.apply(ev.StepStarted(key="s", kind="sensitivity"))
    assert curves.first_view(state, None).x == "rate"
    assert "No trial is finished yet: sensitivity" in curves.draw([state], View(x="rate")).problem
