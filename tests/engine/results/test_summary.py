"""What a study found: measures by name, and JSON for programs."""

import json

import pytest

from engine.results.summary import measure_names, measure_value, study_json, trial_json
from engine.studies import events as ev
from engine.testing.events import finished, measures, planned, replayed, started, study

ROWS = [
    {"runtime": "torch", "batch": 1, "median_ms": 4.0, "baseline_median_ms": 8.0, "speedup": 2.0},
    {"runtime": "onnxruntime", "batch": 8, "median_ms": 1.5, "baseline_median_ms": 1.5, "speedup": 1.0},
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.9),
        ("size.packed", 400.0),
        ("latency", 4.0),
        ("latency.onnxruntime", 1.5),
        ("latency.onnxruntime.8", 1.5),
        ("latency.torch.8", None),
        ("speedup.torch.1", 2.0),
        ("size", None),
        ("size.none", None),
        ("unknown", None),
    ],
)
def test_measures_have_dotted_names(name: str, value: float | None) -> None:
    assert measure_value(measures(0.9) | {"latency": ROWS}, name) == value


def test_names_are_those_that_some_finished_trial_has() -> None:
    events = [started(), planned([{"x": 1}], latency=True), finished("p0"), finished("m0", measures(0.9))]
    events += [finished("t"), finished("tm", measures(0.9)), finished("l0", observations={"rows": ROWS})]
    names = measure_names(replayed(*events))
    assert {"accuracy", "size.packed", "latency.torch.1", "speedup.onnxruntime.8"} <= set(names)
    assert "latency" not in names
    assert measure_names(study(({"x": 1}, None))) == []


def test_json_of_a_study_has_its_baseline_environment_and_trials() -> None:
    found = study_json(study(({"x": 1}, measures(0.8)), ({"x": 2}, None)))
    assert json.loads(json.dumps(found)) == found
    assert found["baseline"]["results"]["accuracy"] == 0.9
    assert found["baseline"]["trials"] == [0, 1]
    assert found["environment"]["device"] == "cpu"
    assert [trial["status"] for trial in found["trials"]] == ["done", "waiting"]
    assert "baselines" not in found


def test_json_of_a_failed_trial_says_why() -> None:
    error = {"title": "No", "detail": "", "remedy": ""}
    state = replayed(started(), planned([{"x": 1}]), ev.StepFailed(key="p0", kind="p", error=error))
    assert trial_json(state.trials[0])["error"] == error


def test_json_of_a_study_that_was_never_planned_is_whole() -> None:
    found = study_json(replayed(started()))
    assert (found["trials"], found["baseline"]) == ([], None)


def test_what_was_in_the_store_is_told_as_reused() -> None:
    from engine.cli.follow import describe
    from engine.reports.remarks import closing
    from engine.testing.events import finished, planned, replayed, started

    again = finished("t", {"validation_accuracy": 0.5}, reused=True)
    state = replayed(started(), planned([{}]), again, finished("p0"))
    assert describe(again, state, set()) == "train: validation 50.00 % (reused)"
    assert "reused from the store: 1 of 2 results (train)" in closing(state)


def test_on_a_terminal_a_trial_is_told_once_and_so_is_what_every_trial_says() -> None:
    from engine.cli.follow import described
    from engine.testing.events import finished, planned, replayed, started

    values = [
        {"quantize.weights.bits": 4, "quantize.weights.enabled": True, "prune.enabled": False},
        {"x": 1},
    ]
    events = [finished("p0", {"validation_accuracy": 0.5}), finished("m0"), finished("p1")]
    notice = ev.Notice(level="info", text="All channels stay in fc", key="p0")
    state = replayed(started(), planned(values), *events)
    said: set[str] = set()
    lines = [
        described(one, state, said, brief=True) for one in (events[0], notice, events[1], notice, events[2])
    ]
    assert lines[0] == ("trial 0: bits 4, prune off", "trial 0 prune.weights: validation 50.00 % (2.0 s)")
    assert lines[1] == ("info: All channels stay in fc",) and lines[3] == ()
    assert all(line.startswith("trial 0 ") for line in lines[2]) and len(lines[2]) == 1
    assert lines[4][0] == "trial 1: x 1"


def test_epochs_that_a_worker_takes_up_are_told_once() -> None:
    from engine.cli.follow import described
    from engine.testing.events import planned, replayed, started

    first, second = (
        ev.EpochFinished(
            key="t", epoch=n, epochs=2, loss=1.0, validation_loss=1.0, learning_rate=0.1, seconds=1.0
        )
        for n in (1, 2)
    )
    state, said = replayed(started(), planned([{}])), set[str]()
    told = [described(event, state, said) for event in (first, first, second)]
    assert [len(lines) for lines in told] == [1, 0, 1]
