"""Fewer weights: the least of all at zero, wherever they are, as `prune.weights` does with its defaults."""

import torch
from torch import Tensor

from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.measures.estimate import Stored
from engine.compute.steps.calibration.understood import changeable
from engine.compute.worker.knob.dials import Setting, effective_less, packed
from engine.compute.worker.knob.held import Held
from engine.params.pruning import PruneWeights
from engine.studies.knob import Technique


class Weights:
    """The place of every weight in the order of magnitude is found once; a sparsity then is one comparison."""

    technique = Technique(
        "weights", "weights at zero", "%", 0.0, 0.99, 0.01, 0.0, how="by magnitude, over all layers"
    )

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
            name: _like(held.weights[name], part) for name, part in zip(layers, parts, strict=True)
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


def _like(weight: Tensor, places: Tensor) -> Tensor:
    """The places in the shape and memory layout of the weight, in which they are compared fastest."""
    return torch.empty_like(weight, dtype=places.dtype).copy_(places.view(weight.shape))
