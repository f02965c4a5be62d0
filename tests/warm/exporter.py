"""Imported by the tests' server: an export is done there once, because the first in a process takes seconds more.

In studies that would be waited for before the first training.
"""

from torch import nn

from engine.compute.onnx.export import _traced

_layers = (
    nn.Conv2d(1, 1, 1),
    nn.BatchNorm2d(1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(1, 1),
)
_traced(nn.Sequential(*_layers).eval(), (1, 8, 8))
