"""Weights under names that no network here has: told by the order and sizes of their tensors, or refused."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.pretrained.by_order import renamed
from engine.compute.pretrained.guess import guess, match
from engine.compute.pretrained.shapes import skeleton
from engine.compute.pretrained.unwrap import variants
from engine.errors import SecateurError
from tests.engine.compute.pretrained.brought_help import bring

OFFERED = Architecture("auto", 3, 10, (32, 32))
FIRST = ("conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2")
OTHERS = ("conv_pw", "bn1", "conv_dw", "bn2", "se.conv_reduce", "se.conv_expand", "conv_pwl", "bn3")
"""What timm calls the layers of the blocks of an EfficientNet, in their order."""
AROUND = {
    "features.0.0": "conv_stem",
    "features.0.1": "bn1",
    "features.8.0": "conv_head",
    "features.8.1": "bn2",
    "classifier.1": "classifier",
}


def as_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of torchvision's EfficientNet-B0 under timm's names."""
    layers: dict[str, list[str]] = {}
    for layer in dict.fromkeys(name.rpartition(".")[0] for name in state):
        if layer not in AROUND:
            layers.setdefault(layer.partition(".block")[0], []).append(layer)
    names = dict(AROUND)
    for block, inside in layers.items():
        _, stage, number = block.split(".")
        called = FIRST if len(inside) == len(FIRST) else OTHERS
        names |= {
            own: f"blocks.{int(stage) - 1}.{number}.{one}" for own, one in zip(inside, called, strict=True)
        }
    return {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t for name, t in state.items()}


def test_a_network_that_is_named_is_matched_with_a_warning(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = build(Architecture("torchvision/efficientnet_b0", 3, 10, (32, 32))).eval()
    torch.save(as_timm(original.state_dict()), tmp_path / "b0.pth")
    model, notices = bring(tmp_path / "b0.pth", "torchvision/efficientnet_b0", size=32)
    grey = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.eval()(grey), original(grey.expand(2, 3, 32, 32)), atol=1e-4)
    assert "order and sizes" in notices


def test_sizes_alone_are_not_taken_for_a_network_that_nobody_named(tmp_path: Path) -> None:
    """timm's efficientnet_b0 and tf_efficientnet_b0 have equal names and sizes, and pad otherwise."""
    state = as_timm(skeleton(Architecture("torchvision/efficientnet_b0", 3, 10, (32, 32))).state_dict())
    with pytest.raises(SecateurError, match="sizes of torchvision/efficientnet_b0, under other") as caught:
        guess([variants(state)], OFFERED)
    assert "model.name: torchvision/efficientnet_b0" in caught.value.remedy


def test_a_network_with_an_epsilon_of_its_own_is_refused() -> None:
    named = replace(OFFERED, name="torchvision/mobilenet_v3_small")
    state = {f"x{name}": tensor for name, tensor in skeleton(named).state_dict().items()}
    with pytest.raises(SecateurError, match="sizes of torchvision/mobilenet_v3_small, and are not") as caught:
        match(named, [variants(state)])
    assert "0.001" in caught.value.detail


def test_other_classes_and_images_are_the_files_own() -> None:
    named = replace(OFFERED, name="torchvision/efficientnet_b0")
    state = as_timm(skeleton(replace(named, channels=4, classes=7)).state_dict())
    chosen = match(named, [variants(state)])
    assert (chosen.arch.channels, chosen.arch.classes, chosen.by_order) == (4, 7, True)


def test_branches_of_equal_sizes_are_refused() -> None:
    """The last convolution of a bottleneck and its shortcut: nothing tells which is which."""
    state = skeleton(Architecture("torchvision/resnet50", 3, 10, (224, 224))).state_dict()
    other = {f"body.{name}": tensor for name, tensor in state.items()}
    with pytest.raises(SecateurError, match="No known model"):
        guess([[variants({f"x{name}": t for name, t in other.items()})[0]]], OFFERED)


def net(*sizes: int, names: str) -> nn.Module:
    layers = zip(names.split(), (nn.Linear(a, b) for a, b in pairwise(sizes)), strict=True)
    made = nn.Module()
    for name, layer in layers:
        made.add_module(name, layer)
    return made


@pytest.mark.parametrize(
    ("ours", "theirs", "sizes", "known"),
    [
        ("fc1 fc2 fc3", "a b c", (4, 5, 6, 3), True),
        ("fc1 fc2 fc3", "0 1 2", (4, 4, 4, 3), True),
        ("fc1 fc2 fc3", "a b c", (4, 4, 4, 3), False),
        ("main side fc", "0 1 2", (4, 4, 4, 3), False),
        ("fc1 fc2 fc3", "1 0 2", (4, 4, 4, 3), False),
    ],
)
def test_equal_neighbours_are_told_by_numbers_only(
    ours: str, theirs: str, sizes: tuple[int, ...], known: bool
) -> None:
    state = net(*sizes, names=theirs).state_dict()
    assert (renamed(net(*sizes, names=ours), state) is not None) == known


def test_another_order_is_refused() -> None:
    model, state = net(4, 5, 6, names="a b"), net(4, 5, 6, names="x y").state_dict()
    assert renamed(model, dict(reversed(state.items()))) is None
