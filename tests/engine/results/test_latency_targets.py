"""A trial that misses its latency target says so wherever its numbers are read."""

from typing import Any

import pytest

from engine.reports.remarks import closing
from engine.reports.table import table
from engine.results.latency_targets import MEASURE, outcomes, remarks
from engine.results.summary import trial_json
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, planned, replayed, started
from tui.views import trial as trialtext
from tui.widgets.trials import state_cell

TARGET = {"asked": 2.0, "measured": 1.98, "runtime": "onnxruntime", "batch": 1, "threads": 2}


def row(speedup: float, **changes: Any) -> dict[str, Any]:
    place = {"runtime": "onnxruntime", "precision": "fp32", "batch": 1, "threads": 2}
    times = {"median_ms": 1.0, "baseline_median_ms": speedup, "speedup": speedup}
    return {**place, "baseline_precision": "fp32", **times, **changes}


def study(target: dict[str, Any], *rows: dict[str, Any], kind: str = "prune.channels") -> StudyState:
    """One trial that prunes to `target`, with these rows of latency."""
    plan = planned([{"ratio": 1}], latency=bool(rows))
    plan.trials[0]["steps"][1] |= {"kind": kind, "address": kind}
    events = [started(), plan, finished("t"), finished("tm", measures(0.9))]
    events += [finished("p0", {MEASURE: target}), finished("m0", measures(0.8))]
    events += [finished("l0", observations={"rows": list(rows)})] if rows else []
    return replayed(*events)


@pytest.mark.parametrize(
    ("measured", "missed"), [(1.98, False), (1.81, False), (1.79, True), (2.19, False), (2.21, True)]
)
def test_more_than_a_tenth_off_to_either_side_is_a_miss(measured: float, missed: bool) -> None:
    (trial,) = study(TARGET | {"measured": measured}).trials
    assert bool(remarks(trial)) == missed
    assert outcomes(trial)[0].by == "step"


def test_the_trials_own_measurement_in_the_same_place_counts_before_the_steps() -> None:
    (trial,) = study(TARGET, row(3.0, batch=8), row(1.5)).trials
    (remark,) = remarks(trial)
    assert (remark["asked"], remark["measured"], remark["by"]) == (2.0, 1.5, "trial")


@pytest.mark.parametrize(
    "other",
    [
        {"runtime": "torch"},
        {"batch": 8},
        {"threads": 1},
        {"precision": "bf16"},
        {"baseline_precision": "bf16"},
        {"baseline_runtime": "torch"},
    ],
)
def test_a_row_of_another_place_says_nothing_of_the_target(other: dict[str, Any]) -> None:
    (trial,) = study(TARGET, row(1.2, **other)).trials
    assert outcomes(trial)[0].by == "step"
    assert not remarks(trial)


def test_where_another_step_compresses_too_the_trials_speedup_is_not_the_targets() -> None:
    state = study(TARGET, row(4.0))
    state.trials[0].steps[0].kind = "factorize"
    assert outcomes(state.trials[0])[0].by == "step"


def test_a_miss_is_data_and_is_told_by_the_table_the_page_the_list_and_the_card() -> None:
    state = study(TARGET, row(1.5))
    (trial,) = state.trials
    assert trial_json(trial)["remarks"] == remarks(trial)
    text = remarks(trial)[0]["text"]
    assert all(part in text for part in ("2.0×", "1.50×", "onnxruntime", "batch 1", "-25 %"))
    assert table(state, 120).splitlines()[-1].split()[0] == "!0"
    assert f"! trial 0: {text}" in closing(state)
    from engine.compute.export.card import _results  # imports torch: not in each process that only collects

    page = " ".join("".join(part for part, _ in line) for line in trialtext.remarks(state, trial, 200))
    assert text in page
    assert "target missed" in state_cell(state, trial)[0]
    assert f"**{text}.**" in _results({"results": {}, "remarks": remarks(trial)})


def test_a_target_that_is_met_is_not_spoken_of() -> None:
    state = study(TARGET, row(2.05))
    (trial,) = state.trials
    assert "remarks" not in trial_json(trial)
    assert table(state, 120).splitlines()[-1].split()[0] == "0"
    assert trialtext.remarks(state, trial, 80) == []
    assert state_cell(state, trial)[0] == "+ done"
    assert not [line for line in closing(state) if line.startswith("!")]
