"""Layers inside two networks that are compared: found, paired, and their outputs taken."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.layers.passes import evaluating
from engine.errors import SecateurError

LISTED = 12
"""Layers that an error lists."""


@dataclass(frozen=True)
class Output:
    """A layer's output for one image: its channels, and its size in pixels."""

    channels: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """A layer of the student and the layer of the teacher that it follows, by name."""

    student: str
    teacher: str


@contextlib.contextmanager
def captured(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the context the outputs of these layers are put into the mapping, whenever the model runs."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            maps[name] = output

        return model.get_submodule(name).register_forward_hook(hook)

    with contextlib.ExitStack() as hooks:
        for name in names:
            hooks.callback(keep(name).remove)
        yield maps


def outputs(model: nn.Module, images: Tensor) -> dict[str, Output]:
    """Every layer that gives one feature map (N, C, H, W) in a pass, in the order of being done."""
    maps: dict[str, Output] = {}
    calls: dict[str, int] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(output, Tensor) and output.dim() == 4:
                _, channels, height, width = output.shape
                maps[name] = Output(channels, (height, width))

        return model.get_submodule(name).register_forward_hook(hook)

    with contextlib.ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name, _ in model.named_modules():
            if name:
                hooks.callback(watch(name).remove)
        model(images)
    return {name: output for name, output in maps.items() if calls[name] == 1}


def stage_ends(layers: dict[str, Output]) -> dict[str, Output]:
    """The last layer of each image size, in order; maps of a single pixel have no place to compare."""
    last = {output.size: name for name, output in layers.items() if output.size != (1, 1)}
    return {name: layers[name] for name in last.values()}


def pairs(student: dict[str, Output], teacher: dict[str, Output], named: tuple[str, ...]) -> list[Pair]:
    """The layers to compare: those named (`NAME` or `STUDENT=TEACHER`), else the stages' ends.

    Stages of the same size are paired; where no size is shared, the last ones with each other, and so on backwards.
    Raises SecateurError for a layer that is not there, and where there is nothing to pair.
    """
    if named:
        halves = [text.partition("=") for text in named]
        chosen = [Pair(left, right or left) for left, _, right in halves]
        for pair in chosen:
            _check(pair.student, student, "student")
            _check(pair.teacher, teacher, "teacher")
        return chosen
    mine, theirs = stage_ends(student), stage_ends(teacher)
    by_size = {output.size: name for name, output in theirs.items()}
    same = [Pair(name, by_size[output.size]) for name, output in mine.items() if output.size in by_size]
    backwards = [Pair(*names) for names in zip(reversed(mine), reversed(theirs), strict=False)]
    if not backwards:
        raise _no_maps()
    return same or backwards[::-1]


def check_maps(layers: dict[str, Output], named: Iterable[str]) -> None:
    """Raises SecateurError for a network that has no layer of these names, or without names none, to compare."""
    for name in named:
        _check(name, layers, "network")
    if not named and not stage_ends(layers):
        raise _no_maps()


def _no_maps() -> SecateurError:
    return SecateurError(
        "The networks have no feature maps to compare",
        "No layer of the student or of the teacher gives an image of several pixels.",
        "Use method: logits.",
    )


def _check(name: str, layers: dict[str, Output], whose: str) -> None:
    if name in layers:
        return
    ends = stage_ends(layers)
    raise SecateurError(
        f"The {whose} has no layer {name} that gives one feature map",
        f"Its stages end with {', '.join(list(ends)[:LISTED])}." if ends else "None of its layers does.",
        "Correct method.layers, or leave it out." if ends else "Use method: logits.",
    )


def projections(
    compared: list[Pair], student: dict[str, Output], teacher: dict[str, Output]
) -> nn.ModuleList:
    """For each pair a 1×1 convolution from the student's channels to the teacher's."""
    return nn.ModuleList(
        nn.Conv2d(student[pair.student].channels, teacher[pair.teacher].channels, 1, bias=False)
        for pair in compared
    )


def of_one_size(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at the smaller height and width, the larger one averaged."""
    size = (min(one.shape[2], two.shape[2]), min(one.shape[3], two.shape[3]))
    return _shrunk(one, size), _shrunk(two, size)


def _shrunk(features: Tensor, size: tuple[int, int]) -> Tensor:
    return features if features.shape[2:] == size else functional.adaptive_avg_pool2d(features, size)
