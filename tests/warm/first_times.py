"""Imported by the tests' server: what takes seconds the first time in a process, an export and scikit-learn's k-means.

A study's own server does without: its first training would wait for that.
"""

import sklearn.cluster  # noqa: F401
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
