"""What the tests of compute share: real digits, a small ResNet, a context that collects events."""

import os
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from engine import datasets
from engine.compute.context import Context
from engine.compute.data import Dataset, load
from engine.compute.models.resnet import CifarResNet
from engine.compute.pretrained.create import create
from engine.params.preset import Data, Model
from engine.studies import events as ev

TEMPLATES = Path(os.environ["SECATEUR_TESTS_TEMPLATES"])
"""Where all test processes keep exported graphs, as the studies of one workspace do."""


@cache
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    """Where steps keep what they have of an interrupted training; it goes when the tests end.

    Made when it is first needed: what is forked from the tests imports this too, and ends without removing anything.
    """
    return tempfile.TemporaryDirectory(prefix=f"secateur-test-{os.getpid()}-steps-")


@cache
def digits(limit: int | None = 400) -> Dataset:
    params = Data(name="digits", limit=limit)
    return load(params, datasets.locate(params, Path(tempfile.gettempdir())))


def small_model(seed: int = 0, width: int = 8, depth: int = 8) -> CifarResNet:
    """A ResNet8 of width 8 for the digits, with random weights.

    It has one residual block in each stage; a ResNet20 has three, the same kinds of layers, and takes twice the time.
    """
    params = Model(name=f"resnet{depth}", arguments={"width": width})
    model, _ = create(params, channels=1, classes=10, size=(8, 8), seed=seed)
    assert isinstance(model, CifarResNet)
    return model


def deep_model(seed: int = 0, width: int = 8) -> CifarResNet:
    """A ResNet20, with three blocks in each stage, for what is told of several."""
    return small_model(seed, width, 20)


class Unpooled(nn.Module):
    """Puts what `inner` gives where `stem` had its largest values, of as many channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x, places = nn.functional.max_pool2d(self.stem(x), 2, return_indices=True)
        return self.last(nn.functional.max_unpool2d(self.inner(x), places, 2).mean((2, 3)))  # type: ignore[no-any-return]


def context_for(
    seed: int = 0,
    partial: Path | None = None,
    events: list[ev.Event] | None = None,
    data: Dataset | None = None,
) -> Context:
    folder = partial or Path(tempfile.mkdtemp(dir=_scratch().name)) / "partial"
    collected = events if events is not None else []
    return Context(
        data or digits(), torch.device("cpu"), seed, 1, "key", folder, collected.append, templates=TEMPLATES
    )


def output(model: nn.Module, images: Tensor) -> Tensor:
    """What the model gives in eval mode, without gradients."""
    with torch.inference_mode():
        result: Tensor = model.eval()(images)
    return result


class Interrupted(Exception):
    pass


def stop_in_third_epoch(context: Context) -> None:
    """Let what trains with `context` be interrupted when its third epoch ends, before that is kept."""

    told = context.send

    def send(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished) and event.epoch == 3:
            raise Interrupted
        told(event)

    context.send = send
