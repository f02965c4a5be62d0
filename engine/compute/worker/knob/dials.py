"""Techniques as dials: what is worked out once of a model, so that any value of one is a matter of milliseconds.

A dial gives the network that the preset steps of its `Setting` give, but for BatchNorm's statistics, which a
`calibrate` step at the end estimates anew; the worker does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from engine.compute.measures.estimate import Stored, packed_bytes
from engine.compute.worker.knob.held import Held
from engine.studies.knob import Technique


@dataclass(frozen=True)
class Setting:
    """A dial at a value: the `model` to score, in eval mode, and all that is known of it without scoring.

    The model is changed again by the next setting of any dial. `steps` are those that make it, by their kinds.
    """

    value: float
    model: nn.Module
    levels: dict[str, float]
    steps: dict[str, dict[str, Any]]
    size_plain: int
    size_packed: int
    parameters: int
    nonzero: int
    macs: int
    effective_macs: int
    latency_ms: float | None = None


class Dial(Protocol):
    """A technique that is ready to be turned."""

    @property
    def technique(self) -> Technique:
        """Its name and the values that it has with this model."""

    def set(self, value: float) -> Setting:
        """The network at one of the technique's values."""

    def prepare(self) -> bool:
        """Work out one more thing that later settings would have to; False once nothing is left."""


def nearest(technique: Technique, value: float) -> float:
    """The technique's value nearest to this one.

    >>> nearest(Technique("weights", "", "%", 0.0, 0.99, 0.01, 0.0), 0.5049)
    0.5
    """
    inside = min(max(value, technique.least), technique.most)
    steps = round((inside - technique.least) / technique.step)
    return min(round(technique.least + steps * technique.step, 9), technique.most)


def packed(held: Held, weights: Mapping[str, Stored]) -> int:
    """Bytes of the packed file with these weights, by the layer's name."""
    return packed_bytes(
        (held.stored | {f"{name}.weight": stored for name, stored in weights.items()}).values()
    )


def effective_less(held: Held, nonzero: Mapping[str, int]) -> int:
    """Multiply-accumulates less whose weight is not zero, where layers have so many weights left that are not."""
    less = 0
    for layer in held.counts.layers:
        name = layer.name.removesuffix(".weight")
        if layer.shape and name in nonzero:
            less += layer.effective_macs - round(layer.macs * nonzero[name] / held.weights[name].numel())
    return less
