"""Rows of latency by name: short names where they suffice, rows of older programs, what a reader must be told."""

from typing import Any

import pytest

from engine.measures import latency
from engine.results.summary import measure_value

OLD = {
    "runtime": "torch",
    "batch": 4,
    "threads": 2,
    "median_ms": 8.0,
    "baseline_median_ms": 16.0,
    "speedup": 2.0,
}
"""As written before there were precisions."""


def row(runtime: str = "onnxruntime", precision: str = "fp32", batch: int = 1, **more: Any) -> dict[str, Any]:
    found = {"runtime": runtime, "precision": precision, "batch": batch, "threads": 2, "median_ms": 2.0}
    return found | {"baseline_median_ms": 3.0, "speedup": 1.5, "throughput": 500.0 * batch} | more


def test_a_row_of_an_older_program_has_a_precision_and_a_throughput() -> None:
    (found,) = latency.measured({"latency": [OLD]})
    assert (found["precision"], found["throughput"]) == ("fp32", 500.0)
    assert latency.names([{"latency": [OLD]}]) == [
        "latency.torch.4",
        "speedup.torch.4",
        "throughput.torch.4",
    ]
    assert len(latency.cells(found)) == len(latency.HEADS)


def test_names_tell_precision_and_threads_only_where_a_trial_has_several() -> None:
    float_, quantized = {"latency": [row()]}, {"latency": [row(precision="int8")]}
    assert latency.names([float_, quantized])[0] == "latency.onnxruntime.1"
    assert measure_value(quantized, "latency.onnxruntime.1") == 2.0
    several = {"latency": [row(), row(precision="bf16", threads=1)]}
    assert latency.names([several])[:2] == [
        "latency.onnxruntime.1.fp32.2t",
        "latency.onnxruntime.1.bf16.1t",
    ]
    assert latency.find(several, "latency.1t") == row(precision="bf16", threads=1)


@pytest.mark.parametrize(("name", "value"), [("latency", 3.0), ("speedup", 1.0), ("throughput", 333.3)])
def test_the_baseline_of_a_row(name: str, value: float) -> None:
    assert latency.value(latency.of_baseline(row()), name) == pytest.approx(value, abs=0.1)


def test_what_was_not_measured_is_told_with_its_reason_and_has_no_value() -> None:
    missing = [
        {"runtime": "openvino", "precision": p, "batch": 1, "threads": 2, "unavailable": "not installed"}
        for p in ("fp32", "bf16")
    ]
    results = {"latency": [*missing, row()]}
    assert measure_value(results, "latency.openvino.1") is None
    assert latency.notes(results) == ["not measured in openvino: not installed"]
    missing.append(missing[0] | {"runtime": "onnxruntime", "precision": "bf16", "unavailable": "no bf16"})
    assert latency.notes(results | {"latency": [*missing, row()]}) == [
        "not measured in openvino: not installed",
        "not measured in onnxruntime, bf16: no bf16",
    ]


@pytest.mark.parametrize(
    ("speedup", "high", "told"),
    [(0.8, 0.85, True), (0.8, 1.1, False), (0.97, 0.98, False), (1.5, 1.6, False)],
)
def test_a_float_model_that_is_slower_says_so_unless_the_spread_explains_it(
    speedup: float, high: float, told: bool
) -> None:
    notes = latency.notes({"latency": [row(speedup=speedup, speedup_high=high)]})
    expected = "slower than the uncompressed network in onnxruntime at batch 1 (0.80×), whatever its MACs are"
    assert notes == ([expected] if told else [])


@pytest.mark.parametrize(
    ("speedup", "high", "told"), [(0.996, 0.999, False), (0.9, 1.05, False), (0.9, 0.95, True)]
)
def test_an_int8_model_is_not_called_slower_by_what_timing_can_not_tell(
    speedup: float, high: float, told: bool
) -> None:
    notes = latency.notes({"latency": [row(precision="int8", speedup=speedup, speedup_high=high)]})
    assert any("slower" in note for note in notes) == told


def test_an_int8_model_that_is_slower_says_so_and_names_what_stayed_in_float() -> None:
    slow = row(precision="int8", speedup=0.4, float_operators={"HardSwish": 4, "Conv": 11})
    fast = row("openvino", precision="int8", speedup=2.0, float_operators={"Pooling": 1})
    (there,) = latency.notes({"latency": [fast | {"speedup": 0.9}]})
    assert there.endswith(
        "with `faster: true` and `faster_in: openvino` quantize.static keeps only what saves time"
    )
    assert latency.notes({"latency": [slow, fast]}) == [
        "INT8 is slower than fp32 in onnxruntime at batch 1 (0.40×): 11 Conv, 4 HardSwish stayed in float"
        "; with `faster: true` quantize.static keeps only what saves time",
        "INT8 in openvino: 1 Pooling stayed in float",
    ]
