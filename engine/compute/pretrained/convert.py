"""A pickled model becomes one of ours: its layers' sizes are taken over, and its answers compared."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.models import edits
from engine.compute.models.architecture import Architecture
from engine.compute.pretrained.files import refused
from engine.compute.pretrained.inert import UNREADABLE
from engine.compute.pretrained.pickles import REMEDY, name_of
from engine.compute.pretrained.unwrap import Notices

SAME = 1e-4
"""Greatest difference of the outputs, relative to the largest one: other kernels round differently."""
FLAGS = ("transform_input",)
"""Switches of constructors that change the output and that no tensor shows, by the attribute that keeps them."""


def take_sizes_(model: nn.Module, original: nn.Module) -> None:
    """Give every layer of `model` the sizes that the layer of the same name has in `original`, in place."""
    before, given = edits.sizes(model), edits.sizes(original)
    after = {
        name: own | {k: v for k, v in given.get(name, {}).items() if k in own} for name, own in before.items()
    }
    for edit in edits.changes(before, after):
        edits.apply(model, edit)


def flags(original: nn.Module) -> dict[str, Any]:
    """Constructor arguments that `original` was made with and that its tensors do not show."""
    return {name: True for name in FLAGS if getattr(original, name, False) is True}


def compare_answers(model: nn.Module, original: nn.Module, arch: Architecture, path: Path) -> Notices:
    """Check that both give the same output for one random image.

    Raises SecateurError where they differ; an original that does not run with today's torch is told of.
    """
    image = torch.rand(1, arch.channels, *arch.size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            expected = original.eval()(image)
    except UNREADABLE as error:
        text = f"the pickled model itself does not run here ({type(error).__name__}), so its answers were not compared"
        return [("warning", text)]
    with torch.inference_mode():
        got = model.eval()(image)
    if not _same(got, expected):
        what = f"is a pickled {name_of(original)} that answers otherwise than {arch.name} with its weights"
        raise refused(path, what, REMEDY)
    return [("info", f"converted: answers as the pickled {name_of(original)} does")]


def _same(got: Tensor, expected: Any) -> bool:
    if not isinstance(expected, Tensor) or got.shape != expected.shape:
        return False
    bound = SAME * float(expected.abs().max().clamp(min=1e-6))
    return bool((got - expected).abs().max() <= bound)
