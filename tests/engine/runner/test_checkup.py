"""The check-up before a study's first step, through the command line: what works, what is told, what is refused."""

from pathlib import Path

import pytest

from engine.studies.rundir import studies
from tests.study_lab import Lab

DATA = """\
import numpy as np


def load():
    random = np.random.default_rng(0)
    labels = np.arange(66) % 3
    images = random.integers(0, 90, (66, 1, 12, 12), dtype=np.uint8)
    images[np.arange(66), 0, labels * 4] += 120
    return {"train": (images[:33], labels[:33]), "validation": (images[33:50], labels[33:50]), "test": (images[50:], labels[50:])}
"""
NETS = """\
import sys
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes, forward):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        self.head, self.aux = nn.Linear(256, classes), nn.Linear(256, classes)
        self.way = forward

    def forward(self, x):
        return self.way(self, x)


def features(net, x):
    return net.body(x).flatten(1)


def viewed(net, x):
    x = net.body(x)
    return net.head(x.view(x.size(0), -1))


def auxiliary(net, x):
    x = features(net, x)
    return (net.head(x), net.aux(x)) if net.training else net.head(x)


def dictionary(net, x):
    return {"logits": net.head(features(net, x))}


def in_place(net, x):
    x.mul_(2)
    return net.head(features(net, x))


def one_size(net, x):
    return net.head(net.body(x).reshape(4, -1))


def wrong_shape(net, x):
    return net.head(features(net, x)).mean(1)


def not_finite(net, x):
    return net.head(features(net, x)) / 0


def broken(net, x):
    return net.head(features(net, x).missing)


def leaving(net, x):
    sys.exit(0)


def talking(net, x):
    print("a word")
    return net.head(features(net, x))


def across_the_batch(net, x):
    x = features(net, x)
    return net.head(x - x.mean(0))


def build(channels, classes, size, way="talking", width=4):
    if width < 0:
        torch.empty(width)
    return Net(channels, classes, globals()[way])
"""
PRESET = """\
threads: 1
device: cpu
model: {name: nets.py:build}
data: {name: data.py:load}
steps:
  - train: {epochs: 1, batch: 16}
  - prune.weights: {sparsity: 0.5}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "nets.py").write_text(NETS)
    return Lab(tmp_path)
