"""Weights as other people's programs leave them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.models.resnet import CifarResNet
from engine.compute.pretrained.create import create
from engine.params.preset import Model

State = dict[str, Tensor]


def small(width: int = 2, **more: int) -> CifarResNet:
    torch.manual_seed(width)
    return CifarResNet(8, **({"channels": 1, "classes": 10, "width": width} | more))


def bring(path: Path, name: str = "auto", size: int = 8, **more: Any) -> tuple[nn.Module, str]:
    """The model that `path` gives for 10 classes of grey images, and what was told."""
    params = Model(name=name, weights=str(path), **more)
    model, facts = create(params, channels=1, classes=10, size=(size, size), seed=0)
    return model, "\n".join(text for _, text in facts["notices"])


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def same_weights(model: nn.Module, state: State) -> bool:
    own = model.state_dict()
    return (
        all(torch.equal(own[name], tensor) for name, tensor in state.items()) and own.keys() == state.keys()
    )


class Evil:
    """An object whose unpickling runs something that leaves a trace: the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Opens(Evil):
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self.path), "w"))


class Touches(Evil):
    """By a bound method, which is pickled as a call of `getattr`."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (self.path.touch, ())


class Shell(Evil):
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        import os

        return (os.system, (f"touch {self.path}",))


class Evaluates(Evil):
    """By code in a text."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",))
