"""Python source of a network that needs nothing but torch: by its layers, else by its operators."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.export.by_layers import by_layers
from engine.compute.export.by_operators import by_operators
from engine.compute.export.code import Unwritable
from engine.compute.models.layout import FAILURES
from engine.compute.models.tensors import saved
from engine.errors import SecateurError, said_by

Shape = tuple[int, int, int]
"""Channels, height, width of one image."""
TOLERANCE = 1e-5
"""Largest deviation of source by operators, over the largest output; source by layers computes the same bits."""
BATCHES = (3, 1)
"""Sizes that generated source is tried with: it must take any number of images."""


@dataclass(frozen=True)
class Source:
    """The class `Model`; `trainable`: whether training it works as training the network does."""

    text: str
    trainable: bool


def generate(model: nn.Module, shape: Shape) -> Source:
    """Source of `model`, which is in eval mode, on the CPU and without masks: (N, *shape) → a tensor.

    Raises SecateurError when neither way succeeds, with the reasons.
    """
    reasons = []
    ways = (
        (partial(by_layers, model), True),
        (partial(by_operators, model, _images(BATCHES[0], shape)), False),
    )
    for way, trainable in ways:
        try:
            text = way()
            _try_out(text, model, shape, 0.0 if trainable else TOLERANCE)
        except Unwritable as error:
            reasons.append(f"it has {error}")
        except FAILURES as error:
            reasons.append(f"{type(error).__name__}: {said_by(error)[0]}")
        else:
            return Source(text, trainable)
    raise SecateurError(
        "The network can't be written as source of its own",
        f"By its layers: {reasons[0]}. By its operators: {reasons[1]}.",
        "Export it as onnx.",
    )


def _images(count: int, shape: Shape) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(count))


def _try_out(text: str, model: nn.Module, shape: Shape, tolerance: float) -> None:
    """Raises Unwritable when the source does not take the weights, or computes something else than the model."""
    space: dict[str, Any] = {
        "torch": torch,
        "nn": nn,
        "math": math,
        "operator": operator,
        "aten": torch.ops.aten,
    }
    # Our own text: every name in it that is not ours went through repr.
    exec(compile(text, "load.py", "exec"), space)
    make: Callable[[], nn.Module] = space["Model"]
    again = make()
    again.load_state_dict(saved(model))
    again.eval()
    for count in BATCHES:
        images = _images(count, shape)
        with torch.inference_mode():
            given, expected = again(images), model(images)
        if (error := deviation(given, expected)) > tolerance:
            raise Unwritable(f"an output that changes by {error:.2g} of the largest")


def deviation(given: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest output; 0.0 only for equal bits, infinite for other shapes."""
    if given.shape != expected.shape or given.dtype != expected.dtype:
        return float("inf")
    same = (given == expected) | (given.isnan() & expected.isnan())
    if bool(same.all()):
        return 0.0
    if not torch.equal(given.isfinite(), expected.isfinite()):
        return float("inf")
    given, expected = (tensor.where(tensor.isfinite(), 0).double() for tensor in (given, expected))
    return float((given - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
