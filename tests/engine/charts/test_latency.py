"""Charts of latency rows: along batch and threads, by runtime and precision, with the baseline beside."""

import statistics
from typing import Any

import pytest

from engine.charts import trials as charts
from engine.charts.owner import owner_of
from engine.errors import UsageError
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, planned, replayed, started


def row(runtime: str, batch: int, median: float, precision: str = "fp32") -> dict[str, Any]:
    """The model takes `median` milliseconds, its baseline twice as long."""
    known = {"runtime": runtime, "precision": precision, "batch": batch, "threads": 1, "median_ms": median}
    return known | {"baseline_median_ms": 2 * median, "baseline_precision": "fp32", "speedup": 2.0}


def study(*trials: tuple[dict[str, Any], list[dict[str, Any]]]) -> StudyState:
    events = [started(), planned([values for values, _ in trials], latency=True), finished("t")]
    events.append(finished("tm", measures(0.9)))
    for index, (_, rows) in enumerate(trials):
        events += [finished(f"p{index}"), finished(f"m{index}", measures(0.9))]
        events.append(finished(f"l{index}", observations={"rows": rows}))
    return replayed(*events)


def curves(runtimes: tuple[str, ...] = ("torch", "onnxruntime")) -> list[dict[str, Any]]:
    return [
        row(runtime, batch, batch * (i + 1)) for i, runtime in enumerate(runtimes) for batch in (32, 1, 8)
    ]


def test_along_batch_there_is_a_line_for_each_runtime_and_one_for_its_baseline() -> None:
    figure = charts.figure([study(({}, curves()))], "batch", "latency", "runtime")
    assert [line.name for line in figure.series] == [
        "torch",
        "onnxruntime",
        "baseline, torch",
        "baseline, onnxruntime",
    ]
    assert [(p.x, p.y) for p in figure.series[1].points] == [(1, 2.0), (8, 16.0), (32, 64.0)]
    assert [(p.x, p.y) for p in figure.series[2].points] == [(1, 2.0), (8, 16.0), (32, 64.0)]
    assert (figure.x_label, figure.y_label) == ("batch", "latency")


def test_throughput_is_images_a_second() -> None:
    figure = charts.figure([study(({}, curves(("torch",))))], "batch", "throughput", None)
    assert {point.y for point in figure.series[0].points} == {1000.0}


def test_trials_and_precisions_that_differ_are_lines_of_their_own() -> None:
    found = study(
        ({"ratio": 0.1}, [row("torch", 1, 4.0), row("torch", 8, 9.0)]),
        ({"ratio": 0.5}, [row("torch", 1, 2.0), row("torch", 8, 5.0, precision="int8")]),
    )
    figure = charts.figure([found], "batch", "latency", "runtime")
    assert [line.name for line in figure.series][:3] == [
        "0.1, torch, fp32",
        "0.5, torch, fp32",
        "0.5, torch, int8",
    ]


def test_along_a_parameter_by_runtime_the_baselines_are_references() -> None:
    found = study(
        ({"prune.weights.sparsity": 0.9}, [row("torch", 1, 4.0), row("openvino", 1, 1.0)]),
        ({"prune.weights.sparsity": 0.5}, [row("torch", 1, 6.0), row("openvino", 1, 3.0)]),
    )
    figure = charts.figure([found], "prune.weights.sparsity", "latency", "runtime")
    assert [(line.name, [(p.x, p.y) for p in line.points]) for line in figure.series] == [
        ("torch", [(0.5, 6.0), (0.9, 4.0)]),
        ("openvino", [(0.5, 3.0), (0.9, 1.0)]),
    ]
    assert [(one.name, one.y) for one in figure.references] == [
        ("baseline, torch", 10.0),
        ("baseline, openvino", 4.0),
    ]


def test_seeds_are_drawn_as_their_mean_with_the_deviation() -> None:
    found = study(
        ({"seed": 0}, [row("torch", 1, 4.0)]),
        ({"seed": 1}, [row("torch", 1, 6.0)]),
    )
    (point,) = charts.figure([found], "batch", "latency", "runtime").series[0].points
    assert point.y == 5.0 and point.deviation == pytest.approx(2**0.5)
    owner = owner_of(point)
    assert owner and owner.state is found and [trial.index for trial in owner.trials] == [0, 1]


def test_every_point_knows_the_trial_whose_rows_it_shows() -> None:
    found = study(
        ({"ratio": 0.1}, [row("torch", 8, 9.0), row("torch", 1, 4.0)]),
        ({"ratio": 0.5}, [row("torch", 1, 2.0), row("torch", 8, 5.0, precision="int8")]),
    )
    for line in charts.figure([found], "batch", "latency", "runtime").series:
        for point in line.points:
            owner = owner_of(point)
            assert owner is not None
            name = "baseline_median_ms" if line.name.startswith("baseline") else "median_ms"
            rows = [r for t in owner.trials for r in t.results["latency"] if r["batch"] == point.x]
            assert statistics.fmean(r[name] for r in rows) == point.y


def test_a_name_may_choose_among_the_rows() -> None:
    figure = charts.figure([study(({}, curves()))], "batch", "latency.onnxruntime", None)
    assert figure.series[0].name == "latency.onnxruntime"
    assert [p.y for p in figure.series[0].points] == [2.0, 16.0, 64.0]


def test_accuracy_can_be_drawn_along_the_latency_of_each_runtime() -> None:
    found = study(({"a": 1}, [row("torch", 1, 4.0)]), ({"a": 2}, [row("torch", 1, 2.0)]))
    figure = charts.figure([found], "latency", "accuracy", "runtime")
    assert [(p.x, p.y) for p in figure.series[0].points] == [(2.0, 0.9), (4.0, 0.9)]


def test_another_name_is_still_refused() -> None:
    with pytest.raises(UsageError, match="nothing called colour"):
        charts.figure([study(({}, curves()))], "batch", "latency", "colour")
