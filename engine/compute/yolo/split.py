"""Blocks of YOLO that cut one convolution's output in two, taken apart so that channels can be removed.

C2f (YOLOv8) and C3k2 (YOLO11) pass the halves of their first convolution's output on separately, at a fixed
place; where channels go, that place moves. With a convolution of its own for each half there is nothing to cut.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.layers.masks import fold_, mask_of, set_mask

CUT = ("C2f", "C3k2")
"""ultralytics' blocks that are taken apart, by the names of their types."""
PER_FILTER = ("weight", "bias", "running_mean", "running_var")


class SplitC2f(nn.Module):
    """C2f or C3k2 with one first convolution per half; `f` and `i` say where in the network it stands.

    Where a chain took the place of that convolution (`factorize`), only its last one gives the halves: those before it
    are computed once, for both.
    """

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        entry: Any = whole.cv1
        self.before = entry.conv[:-1] if isinstance(entry.conv, nn.Sequential) else nn.Sequential()
        self.cv0 = _half(entry, first=True)
        self.cv1 = _half(entry, first=False)
        self.cv2 = whole.cv2
        self.m = whole.m
        self.f, self.i = whole.f, whole.i
        self.training = whole.training

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H, W)."""
        x = self.before(x)
        parts = [self.cv0(x), self.cv1(x)]
        for block in self.m:  # type: ignore[union-attr]
            parts.append(block(parts[-1]))
        out: Tensor = self.cv2(torch.cat(parts, 1))  # type: ignore[operator]
        return out


def split(model: nn.Module, layer: str) -> None:
    """Take the block `layer` apart, in place; the network computes what it did, masks included."""
    parent, _, name = layer.rpartition(".")
    setattr(model.get_submodule(parent), name, SplitC2f(model.get_submodule(layer)))


def cut_blocks(model: nn.Module) -> list[str]:
    """The names of the blocks that `split` takes apart."""
    return [name for name, module in model.named_modules() if type(module).__name__ in CUT]


def _half(entry: nn.Module, *, first: bool) -> nn.Module:
    """A Conv (convolution, normalization, activation) with one half of the filters of `entry`; of a chain, its last
    convolution alone."""
    half = copy.deepcopy(entry)
    conv, norm = half.conv, half.bn
    if isinstance(conv, nn.Sequential):
        conv = conv[-1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    kept = slice(0, conv.out_channels // 2) if first else slice(conv.out_channels // 2, None)
    mask = mask_of(conv)
    plain = conv if mask is None else fold_(conv)
    assert isinstance(plain, nn.Conv2d)
    for module in (plain, norm):
        for name in PER_FILTER:
            tensor = getattr(module, name, None)
            if isinstance(tensor, nn.Parameter):
                setattr(module, name, nn.Parameter(tensor.detach()[kept].clone(), tensor.requires_grad))
            elif isinstance(tensor, Tensor):
                setattr(module, name, tensor[kept].clone())
    plain.out_channels = norm.num_features = len(plain.weight)
    half.conv = plain
    if mask is not None:
        set_mask(plain, mask.mask[kept].clone())
    return half
