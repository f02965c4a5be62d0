"""Latency in the lab: a trial's table at 80 columns, its reasons, and curves along batch by runtime."""

from typing import Any

from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.text.tables import cell_width
from tui.views import curves
from tui.views.curves import View
from tui.views.trial import latency, measures


def row(
    runtime: str, batch: int, precision: str = "fp32", speedup: float = 2.0, **more: Any
) -> dict[str, Any]:
    known = {
        "runtime": runtime,
        "precision": precision,
        "batch": batch,
        "threads": 2,
        "median_ms": 123.4 * batch,
    }
    return known | {
        "baseline_median_ms": 246.8 * batch,
        "speedup": speedup,
        "p90_ms": 130.0,
        "first_ms": 5e4,
        **more,
    }


ROWS = [
    *(row(runtime, batch) for runtime in ("torch-compile", "onnxruntime") for batch in (1, 8)),
    row("openvino", 8, "int8", 0.5, float_operators={"Convolution": 3}),
    {"runtime": "openvino", "precision": "bf16", "batch": 1, "threads": 2, "unavailable": "no bf16 here"},
]


def study(rows: list[dict[str, Any]]) -> StudyState:
    state = StudyState()
    steps = [{"key": key, "kind": "train", "address": key} for key in ("t", "p")]
    trial = {"index": 0, "parameters": {}, "steps": steps, "measure": "m", "latency": "l", "baseline": "t"}
    state.apply(ev.StudyStarted(study="s", preset="s", host="h", pid=1, environment={}))
    state.apply(ev.Planned(trials=[trial | {"baseline_measure": "b"}], devices={}))
    for key in ("t", "p", "m", "b"):
        state.apply(
            ev.StepFinished(key=key, kind="measure", reused=False, seconds=1.0, measures={"accuracy": 0.9})
        )
    told = {"rows": rows}
    state.apply(
        ev.StepFinished(key="l", kind="latency", reused=False, seconds=1.0, measures={}, observations=told)
    )
    return state


def lines(rows: list[dict[str, Any]], width: int) -> list[str]:
    state = study(rows)
    return ["".join(text for text, _ in line) for line in latency(state, state.trials[0], width)]


def test_a_trials_rows_fit_80_columns_with_what_matters_most() -> None:
    found = lines(ROWS, 78)
    assert all(cell_width(line) <= 78 for line in found)
    text = "\n".join(found)
    for shown in (
        "torch-compile",
        "int8",
        "987 ms",
        "0.50×",
        "8.10",
        "not measured in openvino, bf16: no bf16 here",
    ):
        assert shown in text
    assert "INT8 is slower than fp32 in openvino at batch 8 (0.50×): 3 Convolution" in text
    assert "first" in lines(ROWS, 140)[1] and "50 s" in lines(ROWS, 140)[2]


def test_rows_of_older_programs_are_shown_and_none_is_no_section() -> None:
    old = {"runtime": "torch", "batch": 1, "median_ms": 2.0, "baseline_median_ms": 4.0, "speedup": 2.0}
    assert any("torch" in line and "fp32" in line and "2.00 ms" in line for line in lines([old], 78))
    assert lines([], 78) == []


def test_measures_leave_latency_to_its_own_table() -> None:
    state = study(ROWS)
    text = "\n".join("".join(t for t, _ in line) for line in measures(state, state.trials[0], 78))
    assert "accuracy" in text and "latency" not in text and "throughput" not in text


def test_curves_along_batch_by_runtime_can_be_chosen_and_read() -> None:
    states = [study(ROWS)]
    assert {"batch", "threads"} <= set(curves.xs(states))
    assert {"latency", "throughput"} <= set(curves.ys(states))
    assert {"runtime", "precision"} <= set(curves.bys(states))
    drawn = curves.draw(states, View(x="batch", y="latency", by="runtime"))
    assert not drawn.problem
    assert drawn.figure.series[0].name == "torch-compile, fp32"
    told = curves.readout(drawn, 0, 1)
    assert "batch 8" in told and "987 ms" in told and "s trial 0" in told and "baseline" not in told


def test_what_was_measured_beside_other_programs_is_marked_in_the_table_and_on_the_axis() -> None:
    noisy = [row("torch", 1, foreign_load=0.88), row("onnxruntime", 1, foreign_load=0.02)]
    table = lines(noisy, 100)
    assert sum("~123 ms" in line for line in table) == 1
    assert any("~ measured while other programs took up to 88 % of the processors' time" in x for x in table)
    state = study(noisy)
    for name, marked in (("latency.torch.1", True), ("latency.onnxruntime.1", False), ("accuracy", False)):
        drawn = curves.draw([state], View(x="latency.onnxruntime.1", y=name))
        assert ("~ some beside other programs" in drawn.figure.y_label) == marked
        assert "~" not in drawn.figure.x_label
    assert "~ some beside other programs" in curves.draw([state], View(x="batch", y="latency")).figure.y_label
    calm = [row("torch", 1, foreign_load=0.02)]
    assert "~" not in "".join(lines(calm, 100))
