"""The shape of one input, and images of it."""

import torch
from torch import Tensor

Shape = tuple[int, int, int]
"""Channels, height, width of one image."""


INPUT_SEED = 0


def example(batch: int, shape: Shape) -> Tensor:
    """The same images every time: (batch, C, H, W), uniform in [0, 1)."""
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(INPUT_SEED))
