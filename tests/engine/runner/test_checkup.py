"""The check-up before a study's first step, through the command line: told, kept, or refused and nothing left."""

import os
from pathlib import Path

import pytest
from PIL import Image

from engine.studies import events as ev
from engine.studies.rundir import studies
from tests.study_lab import Lab

DATA = """\
import numpy as np


def load():
    random = np.random.default_rng(0)
    labels = np.arange(66) % 3
    images = random.integers(0, 90, (66, 1, 12, 12), dtype=np.uint8)
    images[np.arange(66), 0, labels * 4] += 120
    parts = {"train": slice(0, 33), "validation": slice(33, 50), "test": slice(50, 66)}
    return {name: (images[part], labels[part]) for name, part in parts.items()}
"""
NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes, broken):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU())
        self.head, self.aux = nn.Linear(512, classes), nn.Linear(512, classes)
        self.broken = broken

    def forward(self, x):
        x = self.body(x)
        x = x.view(x.size(0), -1)
        if self.broken:
            x = x.no_such_thing()
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def build(channels, classes, size, broken=False):
    return Net(channels, classes, broken)
"""  # noqa: E501 - a network of a user's
PRESET = """\
threads: 1
device: cpu
model: {name: net.py:build}
data: {name: data.py:load}
steps:
  - train: {epochs: 2, batch: 16}
  - prune.channels: {ratio: 0.3}
  - finetune: {epochs: 1, batch: 16}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "net.py").write_text(NET)
    return Lab(tmp_path)


def test_a_network_that_is_unlike_ours_goes_all_the_way_and_what_is_particular_is_told(lab: Lab) -> None:
    found = lab.run(preset=lab.preset(PRESET))
    [network] = found["checked"]["networks"]
    assert network["text"].startswith("1×12×12 → 3 classes")
    assert [note.split()[0] for note in network["notes"]] == ["in", "the", "it"]
    assert "in training it has 2 outputs" in lab.call("show", "p-1").stdout
    assert found["trials"][0]["results"]["accuracy"] > 0.8
    [trained] = [e for e in lab.events("p-1") if isinstance(e, ev.StepStarted) and e.kind == "train"]
    [checked] = [e for e in lab.events("p-1") if isinstance(e, ev.CheckedUp)]
    assert checked.time < trained.time


def test_what_can_t_be_trained_is_one_message_and_leaves_no_study(lab: Lab) -> None:
    done = lab.call("run", lab.preset(PRESET), "--detach", "--set", "model.arguments={broken: true}")
    assert done.returncode == 2
    assert "net.py, line 15" in done.stderr
    assert done.stderr.startswith("secateur: Model ")
    assert not done.stdout
    assert not studies(lab.workspace)


def test_a_pipe_among_the_images_is_refused_by_name(lab: Lab) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (lab.folder / "images" / split / name).mkdir(parents=True)
            Image.new("L", (12, 12)).save(lab.folder / "images" / split / name / "1.png")
    os.mkfifo(lab.folder / "images" / "train" / "a" / "2.png")
    changes = ["--set", "data={name: imagefolder, root: images}"]
    done = lab.call("run", lab.preset(PRESET), *changes)
    assert done.returncode == 2
    assert "2.png is no ordinary file" in done.stderr
    assert not studies(lab.workspace)
