"""Techniques as dials: what is worked out once of a model, so that any value of one is a matter of milliseconds.

A dial gives the network that the preset steps of its `Setting` give, but for BatchNorm's statistics, which a
`calibrate` step at the end estimates anew; the worker does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor, nn

from engine.compute.measures.estimate import Stored
from engine.compute.worker.knob.held import Held
from engine.params.base import StepParams
from engine.studies.knob import Costs, Technique


@dataclass(frozen=True)
class Setting:
    """A dial at a value: the `model` to score, in eval mode, and all that is known of it without scoring.

    The model is changed again by the next setting of any dial. `steps` are those that make it, by their kinds.
    """

    value: float
    model: nn.Module
    levels: dict[str, float]
    steps: dict[str, dict[str, Any]]
    costs: Costs


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


def as_step(params: StepParams) -> dict[str, dict[str, Any]]:
    """A step as a preset has it, by its kind: what was given, without defaults."""
    return {params.kind: params.model_dump(mode="json", exclude_unset=True)}


def rewritten(held: Held, value: float, weights: Mapping[str, Tensor], kept: Mapping[str, Stored]) -> Setting:
    """The model with these weights, by the layer's name, each to be stored as `kept` says; levels and steps are left
    to the dial. Shapes are what they were, and a dense runtime takes as long for zeros and rounded weights."""
    base = held.baseline.costs
    tensors = {f"{name}.weight": one for name, one in kept.items()}
    return Setting(
        value,
        held.write(weights),
        levels={},
        steps={},
        costs=replace(
            base,
            size_packed=held.packed_bytes((held.stored | tensors).values()),
            nonzero_parameters=base.nonzero_parameters
            - sum(held.stored[name].nonzero - one.nonzero for name, one in tensors.items()),
            effective_macs=base.effective_macs - _effective_less(held, kept),
        ),
    )


def _effective_less(held: Held, kept: Mapping[str, Stored]) -> int:
    """Multiply-accumulates less whose weight is not zero."""
    less = 0
    for layer in held.counts.layers:
        name = layer.name.removesuffix(".weight")
        if layer.shape and name in kept:
            less += layer.effective_macs - round(layer.macs * kept[name].nonzero / kept[name].elements)
    return less
