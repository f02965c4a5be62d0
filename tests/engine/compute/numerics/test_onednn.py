"""Convolutions that oneDNN breaks on, or is slow at, are computed otherwise."""

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.context import to_device
from engine.compute.numerics.onednn import float32_where_faster
from engine.machine.environment import cpu_features
from tests import HOME, lone

TRAIN = """
import os, sys
os.environ["ONEDNN_MAX_CPU_ISA"] = {held!r}
sys.path.insert(0, {home!r})
import torch
from torch.nn import functional as F
from engine.compute.context import to_device
from engine.compute.models.resnet import CifarResNet
torch.set_num_threads(1)
model = to_device(CifarResNet(20, 1, 10, width=4), torch.device("cpu")).train()
for _ in range(40):
    images = torch.randn(32, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    F.cross_entropy(model(images), torch.zeros(32, dtype=torch.long)).backward()
print("trained", torch._C._get_mkldnn_enabled())
"""


@pytest.mark.skipif("avx2" not in cpu_features(), reason="this processor has no AVX2")
@pytest.mark.parametrize("held", ["AVX2", "AVX2_VNNI"])
def test_a_narrow_resnet_trains_on_avx2(held: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN.format(held=held, home=str(HOME)))
    done = lone.run(tmp_path / "train.py", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "trained False\n"), done.stderr


def test_other_networks_and_processors_keep_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    def enabled(channels: int, stride: int) -> bool:
        to_device(nn.Sequential(nn.Conv2d(channels, 16, 1, stride)), torch.device("cpu"))
        return torch._C._get_mkldnn_enabled()

    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    if "avx2" in cpu_features():
        assert not enabled(4, 2)
    assert enabled(4, 1) and enabled(8, 2)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    assert enabled(4, 2) == ("avx512f" in cpu_features() or "avx2" not in cpu_features())
    assert enabled(8, 2), "and it is back for what comes next"


def test_autocast_leaves_what_is_slower_in_bf16_in_float32() -> None:
    layers = {
        "strided depthwise": (nn.Conv2d(8, 8, 3, 2, 1, groups=8), torch.float32),
        "wide depthwise": (nn.Conv2d(8, 8, 5, 1, 2, groups=8), torch.float32),
        "two channels a group": (nn.Conv2d(8, 8, 3, 2, 1, groups=4), torch.float32),
        "plain depthwise": (nn.Conv2d(8, 8, 3, 1, 1, groups=8), torch.bfloat16),
        "grouped": (nn.Conv2d(8, 8, 3, 2, 1, groups=2), torch.bfloat16),
        "dense": (nn.Conv2d(8, 8, 3, 2, 1), torch.bfloat16),
    }
    model = nn.ModuleDict({name: layer for name, (layer, _) in layers.items()})
    images = torch.randn(2, 8, 8, 8, dtype=torch.bfloat16)

    def computed_in() -> dict[str, torch.dtype]:
        with torch.autocast("cpu", torch.bfloat16):
            return {name: layer(images).dtype for name, layer in model.items()}

    with float32_where_faster(model):
        assert computed_in() == {name: dtype for name, (_, dtype) in layers.items()}
        images = images[..., :2, :2]
        assert computed_in()["plain depthwise"] == torch.float32, "of images smaller than its kernel"
    assert set(computed_in().values()) == {torch.bfloat16}, "and only within"


def test_autocast_is_as_it_was_after_a_layer_that_fails() -> None:
    layer = nn.Conv2d(8, 8, 3, 2, groups=8)
    with float32_where_faster(layer), torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError):
            layer(torch.randn(2, 3, 8, 8))
        assert torch.is_autocast_enabled("cpu")
        assert layer(torch.randn(2, 8, 8, 8)).dtype == torch.float32
