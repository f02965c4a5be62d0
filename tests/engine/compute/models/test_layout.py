"""The layout that networks compute in."""

import torch
from torch import nn

from engine.compute.context import to_device


def test_a_network_with_tensors_of_five_dimensions_computes_contiguously() -> None:
    """As a graph holds the masks of shifted windows: torch can't put them into the layout of images."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model.register_buffer("mask", torch.zeros(1, 4, 1, 9, 9))
    assert to_device(model, torch.device("cpu"))(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 6, 6)
    assert model[0].weight.is_contiguous()
