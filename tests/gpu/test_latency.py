"""Latency on a GPU, in every runtime and precision that it has."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.onnx.shape import example
from engine.compute.runtimes.torch import TorchSession
from engine.params.preset import Latency
from tests.engine.compute.compute_help import small_model

SHAPE = (1, 8, 8)
TOLERANCES = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 5e-2, "fp16": 1e-2}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    checkpoint.save(small_model(depth=20, width=16).eval(), folder)
    return folder


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_session_computes_what_the_processor_does(saved: Path, precision: str) -> None:
    images = example(4, SHAPE)
    exact = TorchSession(saved, images, 1, "cpu").run(images)
    on_card = TorchSession(saved, images, 1, "cuda", precision)  # type: ignore[arg-type]
    given = on_card.run(images)
    assert float((given - exact).abs().max() / exact.abs().max()) < TOLERANCES[precision]
    on_card()
    assert on_card.on_gpu is not None and on_card.on_gpu[-1] > 0
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")


QUICK: dict[str, Any] = {"blocks": 3, "block_ms": 5, "warmup_ms": 20}


def test_rows_have_the_gpu_its_clocks_and_its_own_times(saved: Path) -> None:
    every = Latency(
        runtimes=("torch", "onnxruntime"), precision=("fp32", "tf32", "bf16", "fp16"), batch=(1, 32), **QUICK
    )
    compiled = Latency(runtimes=("torch-compile",), precision=("bf16",), batch=(32,), **QUICK)
    side = Side({"torch": saved, "torch-compile": saved}, {"onnxruntime": "no file was made for it"})
    rows = [
        row
        for params in (every, compiled)
        for row in measure_pair(
            side, side, params=params, shape=SHAPE, threads=1, device="cuda", start=forks.start
        )
    ]
    timed = [row for row in rows if "unavailable" not in row]
    assert {(row["runtime"], row["precision"]) for row in timed} >= {
        ("torch-compile", "bf16"),
        *(("torch", name) for name in TOLERANCES),
    }, [row.get("unavailable") for row in rows]
    for row in timed:
        assert row["device"] == "cuda"
        assert row["gpu"]["name"] == torch.cuda.get_device_name()
        assert 0 < row["gpu_ms"] <= 1.2 * row["median_ms"]
        assert row["peak_memory"] > 0 and row["throughput"] > 0
