"""Sensitivities of fabricated studies: curves, tables, exports, and what of them a replay compares."""

import csv
import json
import math
from typing import Any

import pytest

from engine.charts import trials as charts
from engine.charts.owner import owner_of
from engine.charts.sensitivity import EVERY, MOST, names, without_tables
from engine.cli import sensitivity
from engine.errors import UsageError
from engine.plotting import csv as as_csv
from engine.plotting import text
from engine.results import sensitivity as scans
from engine.results.summary import study_json
from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, started, study

RATES = (0.3, 0.6, 0.9)
LAYERS = ("conv1", *(f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1, 2)), "fc")


def found(layers: tuple[str, ...] = LAYERS, reference: float = 0.9, of: str = "weights") -> dict[str, Any]:
    """The n-th layer loses n points at a rate of 1, in proportion."""
    rows = [
        {
            "layer": layer,
            "rate": rate,
            "validation_accuracy": reference - number * rate / 100,
            "validation_loss": number * rate,
            "parameters": 100,
            "macs": 1000,
            "loss_increase": number * rate,
        }
        for number, layer in enumerate(layers)
        for rate in RATES
    ]
    first = {"validation_accuracy": reference, "validation_loss": 0.0, "parameters": 120, "macs": 1200}
    return {"of": of, "criterion": "l1", "reference": first, "rows": rows}


def scanned(*runs: dict[str, Any], values: tuple[dict[str, Any], ...] = ({},), ids: int = 1) -> StudyState:
    """A study with a trial for each of `values`, that measures one or several sensitivities, the runs in turn."""
    state = StudyState()
    left = list(runs)
    trials = [
        {
            "index": index,
            "parameters": parameters,
            "steps": [
                {
                    "key": f"s{index}{i}",
                    "kind": "sensitivity",
                    "address": f"id{i}" if ids > 1 else "sensitivity",
                }
                for i in range(ids)
            ],
            "measure": f"m{index}",
            "latency": None,
            "baseline": f"s{index}0",
            "baseline_measure": f"m{index}",
        }
        for index, parameters in enumerate(values)
    ]
    events = [started(), ev.Planned(trials=trials)]
    events += [
        finished(f"s{index}{i}", {"sensitivity": left.pop(0)})
        for index in range(len(values))
        for i in range(ids)
    ]
    events += [finished(f"m{index}", measures(0.9)) for index in range(len(values))]
    for event in events:
        state.apply(event)
    return state


def test_a_line_for_each_layer_over_its_rates() -> None:
    figure = charts.figure([scanned(found(LAYERS[:3]))], "rate", "validation_accuracy", "layer")
    assert [line.name for line in figure.series] == list(LAYERS[:3])
    assert [point.x for point in figure.series[2].points] == list(RATES)
    assert [point.y for point in figure.series[2].points] == pytest.approx([0.894, 0.888, 0.882])
    assert [(line.name, line.y) for line in figure.references] == [("unpruned", 0.9)]
    assert charts.figure([scanned(found())], "rate", "accuracy").y_measure == "validation_accuracy"


def test_many_layers_are_thinned_from_the_least_to_the_most_sensitive() -> None:
    state = scanned(found())
    figure = charts.figure([state], "rate", "accuracy", "layer")
    drawn = [line.name for line in figure.series]
    assert len(drawn) == MOST < len(LAYERS)
    assert (drawn[0], drawn[-1]) == ("conv1", "fc")
    assert drawn == [layer for layer in LAYERS if layer in drawn], "in the model's order"
    assert figure.title == "8 of 11 layers"
    some = charts.figure([state], "rate", "accuracy", "layer", layers=("layer3.*", "fc"))
    assert [line.name for line in some.series] == ["layer3.0", "layer3.1", "layer3.2", "fc"]
    assert len(charts.figure([state], "rate", "accuracy", layers=EVERY).series) == len(LAYERS)
    with pytest.raises(UsageError, match=r"no layer layer9\.\*"):
        charts.figure([state], "rate", "accuracy", layers=("layer9.*",))


def test_every_point_knows_its_trials() -> None:
    values = ({"seed": 0}, {"seed": 1})
    state = scanned(found(), found(reference=0.8), values=values)
    figure = charts.figure([state], "rate", "accuracy")
    owners = [owner_of(point) for line in figure.series for point in line.points]
    assert [[trial.index for trial in owner.trials] for owner in owners if owner] == [[0, 1]] * len(owners)


def test_seeds_are_drawn_as_mean_and_deviation() -> None:
    state = scanned(found(), found(reference=0.8), values=({"seed": 0}, {"seed": 1}))
    point = charts.figure([state], "rate", "accuracy").series[0].points[0]
    assert point.y == pytest.approx(0.85)
    assert point.deviation == pytest.approx(math.sqrt(2) * 0.05)


def test_other_parameters_tell_the_lines_apart() -> None:
    values = ({"sensitivity.criterion": "l1"}, {"sensitivity.criterion": "taylor"})
    state = scanned(found(LAYERS[:1]), found(LAYERS[:1]), values=values)
    figure = charts.figure([state], "rate", "accuracy")
    assert [line.name for line in figure.series] == ["l1 conv1", "taylor conv1"]


def test_of_two_steps_one_must_be_named() -> None:
    state = scanned(found(LAYERS[:2]), found(LAYERS[:1], of="channels"), ids=2)
    assert names([state]) == ["id0.rate", "id1.rate"]
    assert len(charts.figure([state], "id0.rate", "accuracy").series) == 2
    assert len(charts.figure([state], "id1.rate", "accuracy").series) == 1
    with pytest.raises(UsageError) as caught:
        charts.figure([state], "rate", "accuracy")
    assert "id0.rate, id1.rate" in caught.value.remedy


@pytest.mark.parametrize(("y", "by"), [("size.packed", None), ("accuracy", "seed")])
def test_what_is_not_known_of_a_layer_is_an_error(y: str, by: str | None) -> None:
    with pytest.raises(UsageError):
        charts.figure([scanned(found())], "rate", y, by)


def test_it_is_the_default_chart_where_nothing_is_swept() -> None:
    state = scanned(found())
    plot = charts.default_plot(state, None)
    assert plot is not None and (plot.x, plot.by) == ("rate", "layer")
    swept = study(({"prune.weights.sparsity": 0.5}, measures(0.9)))
    assert charts.default_plot(swept, None).x == "prune.weights.sparsity"  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_has_every_layer_and_what_costs_a_point(width: int) -> None:
    (shown,) = sensitivity.tables(scanned(found()), width)
    head, titles, *lines = shown.splitlines()
    assert "validation accuracy" in head and "90.00 %" in head
    assert "≤ 1 point" in titles
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[0] in LAYERS}
    assert list(rows) == list(LAYERS)
    assert rows["conv1"][0] == "90" and rows["layer1.1"][0] == "50", "interpolated between the rates"
    assert max(map(len, lines)) <= width
    if width > 40:
        assert rows["fc"][-1] == "-9.00"


def test_a_legend_of_many_layers_leaves_room_for_the_chart() -> None:
    long = tuple(f"features.denseblock{i}.denselayer{i}.conv" for i in range(120))
    figure = charts.figure([scanned(found(long))], "rate", "accuracy", layers=EVERY)
    drawn = text.draw(figure, 80, 24, colour=False).splitlines()
    assert len(drawn) <= 24 and max(map(len, drawn)) <= 80
    assert sum("┤" in line or "│" in line for line in drawn) >= 12


def test_a_step_that_found_nothing_is_told_with_those_that_did() -> None:
    state = scanned({"rows": []}, found(), ids=2)
    told = without_tables([state], "id0.rate")
    assert (
        told is not None
        and told.title == "There are no tables of id0"
        and told.remedy == "Choose --x id1.rate."
    )
    assert without_tables([state], "id1.rate") is None


def test_exports_hold_every_row() -> None:
    state = scanned(found())
    (exported,) = study_json(state)["sensitivity"]
    assert exported["rows"] == found()["rows"] and exported["trials"] == [0]
    assert json.loads(json.dumps(exported)) == exported
    whole = charts.figure([state], "rate", "accuracy", layers=EVERY)
    lines = list(csv.DictReader(as_csv.write(whole).splitlines()))
    assert len([line for line in lines if line["x"]]) == len(LAYERS) * len(RATES)
    assert "sensitivity" not in study_json(study())


@pytest.mark.parametrize("broken", [None, 3, {}, {"rows": [7]}, {"reference": {}, "rows": [{"layer": 1}]}])
def test_what_can_not_be_understood_is_left_out(broken: Any) -> None:
    state = scanned(broken)
    assert scans.scans(state) == []
    assert charts.figure([state], "rate", "accuracy", "layer").series == ()


def test_what_a_search_measured_beside_its_baseline_is_drawn_as_a_trials_own_is() -> None:
    own, beside = scanned(found()), scanned(found())
    for trial in beside.trials:
        trial.beside, trial.steps = trial.steps, []
    assert names([beside]) == names([own]) == ["rate"]
    drawn = charts.figure([beside], "rate", "accuracy")
    assert [line.points for line in drawn.series] and len(drawn.series) == MOST
    assert list(sensitivity.tables(own, 80)) and not list(sensitivity.tables(beside, 80))
