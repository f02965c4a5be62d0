"""timm's names for torchvision's networks: the tensors arrive where they belong, in the shapes that they have there.

That timm's networks then compute the same was compared with timm 1.0.31 itself (outputs of random weights, 224 px).
"""

import pytest
import torch

from engine.compute.models.architecture import Architecture
from engine.compute.pretrained.guess import guess
from engine.compute.pretrained.timm_names import renamed
from engine.compute.pretrained.unwrap import variants

DEPTHS = (3, 3, 9, 3)
WIDTHS = (96, 192, 384, 768)


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def vit_base_patch32() -> dict[str, tuple[int, ...]]:
    """Names and shapes as timm's `vit_base_patch32_224` has them, for 5 classes."""
    names = {"cls_token": (1, 1, 768), "pos_embed": (1, 50, 768)}
    names |= layer("patch_embed.proj", 768, 3, 32, 32)
    for number in range(12):
        block = f"blocks.{number}"
        names |= norm(f"{block}.norm1", 768) | layer(f"{block}.attn.qkv", 2304, 768)
        names |= layer(f"{block}.attn.proj", 768, 768) | norm(f"{block}.norm2", 768)
        names |= layer(f"{block}.mlp.fc1", 3072, 768) | layer(f"{block}.mlp.fc2", 768, 3072)
    return names | norm("norm", 768) | layer("head", 5, 768)


def convnext_tiny() -> dict[str, tuple[int, ...]]:
    names = layer("stem.0", 96, 3, 4, 4) | norm("stem.1", 96)
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        if stage:
            before = WIDTHS[stage - 1]
            names |= norm(f"stages.{stage}.downsample.0", before)
            names |= layer(f"stages.{stage}.downsample.1", width, before, 2, 2)
        for number in range(depth):
            block = f"stages.{stage}.blocks.{number}"
            names |= {f"{block}.gamma": (width,)} | layer(f"{block}.conv_dw", width, 1, 7, 7)
            names |= norm(f"{block}.norm", width) | layer(f"{block}.mlp.fc1", 4 * width, width)
            names |= layer(f"{block}.mlp.fc2", width, 4 * width)
    return names | norm("head.norm", 768) | layer("head.fc", 5, 768)


@pytest.mark.parametrize(
    ("names", "network"),
    [
        (vit_base_patch32(), "torchvision/vit_b_32"),
        (convnext_tiny(), "torchvision/convnext_tiny"),
    ],
)
def test_timms_networks_are_recognized(names: dict[str, tuple[int, ...]], network: str) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in names.items()}
    chosen = guess([variants(state)], Architecture("auto", 3, 10, (224, 224)))
    assert (chosen.arch.name, chosen.arch.classes, chosen.by_order) == (network, 5, False)


def test_linear_layers_that_timm_keeps_as_convolutions_compute_the_same() -> None:
    """VGG's first one sees 512 channels of 7×7 at once."""
    features, kernel = torch.rand(1, 512, 7, 7), torch.rand(4096, 512, 7, 7)
    given = renamed({"features.0.weight": torch.rand(2, 3, 3, 3), "pre_logits.fc1.weight": kernel})
    assert given is not None
    weight = given["classifier.0.weight"]
    assert torch.allclose(
        features.flatten(1) @ weight.T, torch.conv2d(features, kernel).flatten(1), rtol=1e-3
    )


def test_names_of_no_family_stay() -> None:
    assert renamed({"blocks.0.0.conv_dw.weight": torch.rand(1)}) is None
