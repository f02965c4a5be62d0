"""The dialog of a sweep: it shows what is swept, and how values of the parameter are written."""

from pathlib import Path

import pytest

from engine.params import STEPS
from engine.params.rows import Row, describe
from engine.presets import sweep
from engine.presets.addresses import ABSENT
from engine.presets.steps import Address
from engine.presets.yaml.tree import Mapping, node_of
from tests.tui.screens.test_lab import lab, seen, settled
from tui.lab.fields import Field, fields_of
from tui.lab.text import read_sweep
from tui.screens.lab_sweep import SweepEditor, examples, how_to_write
from tui.widgets.keyinput import KeyInput

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

NUMBERS = [
    pytest.param(row.one, id=f"{kind} {row.path}")
    for kind, step in STEPS.items()
    for row in describe(step)
    if row.one.type in ("number", "integer") and row.type != "list"
]


@pytest.mark.parametrize(
    ("path", "swept"),
    [
        ("prune.weights.sparsity", "[0.3, 0.5]"),
        ("prune.weights.sparsity", "0.3..0.9 by 0.3"),
        ("prune.weights.sparsity", "[0, 0.3..0.9 by 0.3]"),
        ("prune.weights.skip", "[[conv1], [conv1, linear]]"),
        ("prune.weights.layers", "[{conv1: 0.3}, {conv1: 0.5, linear: 0.1}]"),
        ("train.learning_rate", "[0.1]"),
    ],
)
async def test_what_is_swept_is_shown_and_taken_as_it_was(tmp_path: Path, path: str, swept: str) -> None:
    preset = tmp_path / "swept.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train: {epochs: 1}, prune.weights: {}]\n"
        f"sweep: {{{path}: {swept}}}\n"
    )
    async with lab(tmp_path, preset=preset) as (screen, pilot):
        before = screen.document.plain
        step = ["train", "prune.weights"].index(path.rpartition(".")[0])
        field = next(
            f for f in fields_of(screen.document.root, step) if f.address.path == path.split(".")[-1]
        )
        editor = SweepEditor(field, path, screen._preview(field))
        taken: list[object] = []
        pilot.app.push_screen(editor, taken.append)
        await seen(pilot, "in all: ")
        shown = editor.query_one(KeyInput).value
        assert shown.strip("[]") == swept.strip("[]")
        await pilot.press("enter")
        screen._set_values(field, taken[0])
        await settled(pilot)
        assert screen.document.plain == before


@pytest.mark.parametrize("row", NUMBERS)
def test_the_values_in_the_hint_are_ones_that_the_parameter_takes(row: Row) -> None:
    listed, ranged = examples(row)
    values = [float(text) for text in listed.split(", ")]
    assert len(set(values)) == 3
    least, most = min(values), max(values)
    assert row.minimum is None or least > row.minimum or (least == row.minimum and not row.exclusive_minimum)
    assert row.maximum is None or most < row.maximum or (most == row.maximum and not row.exclusive_maximum)
    axes, problems = sweep.read(Mapping({"n": node_of(ranged)}, "", ""))
    assert not problems
    assert axes[0].values("n") == pytest.approx(values)


def test_ranges_are_of_numbers_alone() -> None:
    assert "range" not in how_to_write(Row("name", "text"))
    assert "[[" in how_to_write(Row("skip", "list", item="text"))


def test_mappings_are_swept_in_braces() -> None:
    (row,) = (row for row in describe(STEPS["quantize.weights"]) if row.path == "layers")
    hint = how_to_write(row).split("`")[1]
    assert all(2 <= bits <= 8 for each in read_sweep(row, hint) for bits in each.values())
    empty = Field(Address(1, "layers"), row, ABSENT, None, "layers")
    assert SweepEditor(empty, "quantize.weights.layers", lambda _: (True, ""))._start() == ""
