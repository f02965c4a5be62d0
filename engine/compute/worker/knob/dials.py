"""Techniques as dials: what is worked out once of a model, so that any value of one is a matter of milliseconds.

A dial gives the network that the preset steps of its `Setting` give, but for BatchNorm's statistics, which a
`calibrate` step at the end estimates anew; the worker does that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.measures.estimate import Stored, packed_bytes
from engine.compute.steps.calibration.understood import changeable
from engine.compute.worker.knob.held import Held
from engine.params.pruning import PruneWeights
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


class Weights:
    """The least of all weights at zero, wherever they are: `prune.weights` with its defaults."""

    technique = Technique("weights", "weights at zero", "%", 0.0, 0.99, 0.01, 0.0)

    def __init__(self, held: Held) -> None:
        self._held = held
        # Layers are left alone for the reasons for which the step does that.
        layers = changeable(held.model, prunable_layers(held.model, ()), held.context, PruneWeights.kind)
        scores = []
        for layer in layers.values():
            score, mask = weight_of(layer).detach().abs(), mask_of(layer)
            # What is masked already goes first.
            scores.append((score if mask is None else score.masked_fill(~mask.mask, -1.0)).flatten())
        order = torch.argsort(torch.cat(scores), stable=True)
        self._elements = len(order)
        places = torch.empty(self._elements, dtype=torch.int32)
        places[order] = torch.arange(self._elements, dtype=torch.int32)
        parts = torch.split(places, [len(score) for score in scores])
        self._places = {
            name: part.view(held.weights[name].shape) for name, part in zip(layers, parts, strict=True)
        }

    def prepare(self) -> bool:
        return False

    def set(self, value: float) -> Setting:
        held, gone = self._held, round(value * self._elements)
        weights = {
            name: torch.where(place >= gone, held.weights[name], 0.0) for name, place in self._places.items()
        }
        nonzero = {name: int(torch.count_nonzero(weight)) for name, weight in weights.items()}
        before = {name: held.stored[f"{name}.weight"] for name in weights}
        base = held.baseline
        return Setting(
            value,
            held.write(weights),
            {name: 1 - nonzero[name] / stored.elements for name, stored in before.items()},
            {PruneWeights.kind: {"sparsity": value}} if value else {},
            base.size_plain,
            packed(held, {n: Stored(s.elements, nonzero[n], s.bits, s.beside) for n, s in before.items()}),
            base.parameters,
            base.nonzero_parameters - sum(s.nonzero - nonzero[n] for n, s in before.items()),
            base.macs,
            base.effective_macs - effective_less(held, nonzero),
            base.latency_ms,  # a dense runtime multiplies with zeros too
        )


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


DIALS: tuple[tuple[Technique, Callable[[Held], Dial]], ...] = ((Weights.technique, Weights),)
"""Each technique and what makes its dial, which raises SecateurError where the model can't be compressed so."""
