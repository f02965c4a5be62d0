"""What a chart's points stand for, training curves, layers before and after: on fabricated studies."""

from pathlib import Path

import pytest

from engine.charts import training
from engine.charts.owner import Owner
from engine.measures.table import TABLE
from engine.plotting.figure import Series
from engine.results import network
from engine.testing import folders as fabricate
from engine.testing.events import measures, study
from tui.views import curves, layers
from tui.views.curves import View
from tui.views.trial import difference


def test_every_point_knows_its_trial(tmp_path: Path) -> None:
    state = fabricate.finished(tmp_path).state
    drawn = curves.draw([state], View(x="prune.weights.sparsity", by=("prune.weights.scope",), pareto=True))
    *lines, front = drawn.figure.series
    assert [len(line.points) for line in lines] == [7, 7]
    for s, line in enumerate(lines):
        for p, point in enumerate(line.points):
            owner = drawn.owner(s, p)
            assert owner and owner.state is state
            (trial,) = owner.trials
            assert trial.results["accuracy"] == point.y
            assert trial.parameters["prune.weights.sparsity"] == point.x
    assert front.name == curves.FRONT and drawn.owner(2, 0) is None, "its points are on other lines already"
    assert drawn.owner(0, 7) is None and drawn.owner(3, 0) is None


def test_every_point_of_a_training_curve_knows_the_trials_of_its_step(tmp_path: Path) -> None:
    state = fabricate.finished(tmp_path).state
    drawn = curves.draw([state], View(epochs=True))
    owned = [{_indices(drawn.owner(s, p)) for p in range(len(line.points))} for s, line in _numbered(drawn)]
    assert owned[0] == {tuple(range(14))}
    assert owned[1:] == [{(index,)} for index in range(14)]


def _numbered(drawn: curves.Drawn) -> list[tuple[int, Series]]:
    return list(enumerate(drawn.figure.series))


def _indices(owner: Owner | None) -> tuple[int, ...]:
    return tuple(trial.index for trial in owner.trials) if owner else ()


def test_training_curves_have_one_line_a_step(tmp_path: Path) -> None:
    state = fabricate.finished(tmp_path).state
    figure = training.figure([state], "validation_accuracy")
    assert figure.series[0].name == "train"
    assert [p.x for p in figure.series[0].points] == list(range(1, 13))
    assert len(figure.series) == 1 + 14
    assert figure.series[2].name == "finetune local 30 %"
    assert set(training.measures([state])) <= TABLE.keys()


@pytest.mark.parametrize("x", ["prune.weights.sparsity", "latency.torch.1", "size.packed", "macs"])
def test_the_front_is_drawn_and_listed(tmp_path: Path, x: str) -> None:
    state = fabricate.finished(tmp_path).state
    drawn = curves.draw([state], View(x=x, y="accuracy", by=("prune.weights.scope",), pareto=True))
    assert drawn.front
    assert drawn.figure.series[-1].name == curves.FRONT
    rows = curves.front_rows(drawn)
    assert len(rows) == len(drawn.front)
    for key, cells in rows:
        series, point = map(int, key.split())
        owner = drawn.owner(series, point)
        assert owner and str(owner.trials[0].index) == cells[0]


def test_what_can_not_be_drawn_is_said(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path)
    assert "No trial is finished" in curves.draw([study.state], View(x="nothing")).problem
    done = fabricate.finished(tmp_path).state
    assert "nothing called nonsense" in curves.draw([done], View(x="nonsense")).problem


def test_the_x_axis_holds_the_whole_sweep_from_the_first_point_on(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    study.trial(0)
    view = View(x="prune.weights.sparsity", by=("prune.weights.scope",))
    limits = curves.draw([study.state], view).figure.x_limits
    study.finish()
    assert limits == curves.draw([study.state], view).figure.x_limits
    assert limits is not None and limits[0] < 0 < 0.95 < limits[1]


def test_layers_before_and_after(tmp_path: Path) -> None:
    study = fabricate.finished(tmp_path)
    trial = study.state.trials[2]
    before = study.run.layers(trial.baseline_measure.key)
    rows = network.joined(study.run.layers(trial.measure.key), before)
    assert len(rows) == 20
    first = rows[0]
    assert (first.name, first.before, first.nonzero, first.sparsity) == ("conv1.weight", 144, 72, 0.5)
    assert [r.name for r in layers.ordered(rows, "MACs", False)][-1] == "linear.weight"
    assert network.joined([{"name": "x"}, 7, None], [3]) == []


@pytest.mark.parametrize(
    ("name", "value", "before", "text", "role"),
    [
        ("accuracy", 0.97, 0.98, "-1.00 points  worse ", "bad"),
        ("sparsity", 0.5, 0.0, "+50.0 points  better", "good"),
        ("size.packed", 2e6, 4e6, "-50.0 %  better", "good"),
        ("latency.torch.1", 3.0, 2.0, "+50.0 %  worse ", "bad"),
        ("accuracy", 0.98, 0.98, "=        ", "muted"),
        ("accuracy", None, 0.98, "", ""),
    ],
)
def test_a_difference_says_whether_it_is_better(
    name: str, value: float | None, before: float, text: str, role: str
) -> None:
    assert difference(name, value, before) == (text, role)


def test_what_can_be_drawn_of_several_studies_is_drawn_and_the_rest_is_named(tmp_path: Path) -> None:
    """A study that has just started takes no other's points away."""
    done, begun = fabricate.finished(tmp_path).state, fabricate.Study(tmp_path).start().state
    drawn = curves.draw([done, begun], View(x="prune.weights.sparsity", by=("prune.weights.scope",)))
    assert [len(line.points) for line in drawn.figure.series] == [7, 7]
    assert len(drawn.notes) == 1 and drawn.notes[0].startswith(f"{begun.name}: No trial is finished yet")


def test_studies_of_different_kinds_are_compared_by_quality_along_size(tmp_path: Path) -> None:
    one = fabricate.finished(tmp_path).state
    other = study(
        *(({"prune.channels.speedup": x}, measures(0.9 - x / 100, nonzero=100 - 9 * x)) for x in (2, 4)),
        name="b-1",
    )
    drawn = curves.draw([one, other], View(x="prune.weights.sparsity"))
    assert (drawn.figure.x_measure, drawn.figure.y_measure) == ("size.packed", "accuracy")
    assert [len(line.points) for line in drawn.figure.series] == [7, 7, 2]
    assert "b-1 has no accuracy along prune.weights.sparsity" in drawn.notes[0]
