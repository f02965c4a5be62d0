"""What tests of exports have in common."""

from dataclasses import replace
from pathlib import Path

import torch

from engine.compute.data import Dataset, load
from engine.datasets import locate
from engine.params.preset import Data

FICKLE = """
from torch import nn

class Fickle(nn.Module):
    # Decides by the values of its input, which no export can follow.
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(1, classes)

    def forward(self, x):
        x = x.mean((1, 2, 3))[:, None]
        return self.layer(x if x.sum().item() > 0 else -x)

def fickle(classes):
    return Fickle(classes)
"""
"""Source of a network that cannot be exported, made by `fickle`."""


def colour_digits(size: int) -> Dataset:
    """Digits, told to be colour images of size×size pixels, with preprocessing that differs between channels."""
    params = Data(name="digits")
    digits = load(params, locate(params, Path()))
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    return replace(digits, channels=3, size=(size, size), mean=mean, std=std)
