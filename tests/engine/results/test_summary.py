"""What a study found: measures by name, and JSON for programs."""

import json

import pytest

from engine.charts import trials as charts
from engine.results.summary import in_words, measure_names, measure_value, study_json, trial_json, trial_value
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


def test_a_swept_mapping_is_shown_as_the_preset_has_it() -> None:
    layers = "quantize.weights.layers"
    state = study(
        *(({layers: bits}, measures(0.9)) for bits in ({"head": 2, "stem": 4}, {"head": 4})),
    )
    shown = ["{head: 2, stem: 4}", "{head: 4}"]
    assert [text for trial in state.trials for text in in_words(trial.parameters)] == [
        f"layers {text}" for text in shown
    ]
    assert [trial_value(trial, layers) for trial in state.trials] == shown
    assert [line.name for line in charts.figure([state], "sparsity", "accuracy", layers).series] == shown
