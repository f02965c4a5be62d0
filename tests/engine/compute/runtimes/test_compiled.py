"""torch.compile: it computes what the model does, and what it takes to compile is in no figure."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, attached
from engine.compute.onnx.shape import example
from engine.compute.runtimes.compiled import CompiledSession
from engine.machine import runtimes
from engine.params.preset import Latency

SHAPE = (3, 8, 8)
MISSING = runtimes.missing("torch-compile", "cpu")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().mean((2, 3))


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    checkpoint.save(attached(tiny().eval(), Architecture(f"{__file__}:tiny", 3, 4, SHAPE[1:])), folder)
    return folder


@pytest.mark.long
@pytest.mark.usefixtures("warm_server")
def test_a_compiled_network_agrees_and_compiling_is_in_the_first_call_alone(saved):
    opened = CompiledSession(saved, example(2, SHAPE), 1, "cpu", named=(f"{__file__}:tiny",))
    images = torch.rand(2, *SHAPE)
    with torch.inference_mode():
        torch.testing.assert_close(opened.run(images), tiny().eval()(images), rtol=1e-3, atol=1e-4)
    params = Latency(runtimes=("torch-compile",), blocks=3, block_ms=5, warmup_ms=5)
    side = Side({"torch-compile": saved}, named=(f"{__file__}:tiny",))
    (row,) = measure_pair(side, side, params=params, shape=SHAPE, threads=1)
    assert row["first_ms"] > 100 * row["p90_ms"], (
        "compiling, or finding what was compiled, against tens of microseconds of running"
    )
    assert row["warmup_ms"] >= row["first_ms"] and row["warmup_calls"] >= 1
