"""Fewer weights: the least of all at zero, wherever they are, as `prune.weights` does with its defaults; or, where the
model comes with a table of what its layers lose, as it does with `scope: solved`."""

import contextlib
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import weight_of
from engine.compute.steps.rates import findings, solved_rates
from engine.compute.worker.knob.dials import Setting, rewritten
from engine.compute.worker.knob.held import Held
from engine.errors import SecateurError
from engine.params.pruning import PruneWeights
from engine.studies.knob import Technique

Rates = dict[str, float]


class Weights:
    """The place of every weight in the order of magnitude is found once, over all layers and within its own; a sparsity
    then is one comparison."""

    technique = Technique(
        "weights", "weights at zero", "%", 0.0, 0.99, 0.01, 0.0, how="by magnitude, over all layers"
    )

    def __init__(self, held: Held) -> None:
        self._held = held
        scores: dict[str, Tensor] = {}
        self._gone: Rates = {}
        for name, layer in held.changeable.items():
            score, mask = weight_of(layer).detach().abs(), mask_of(layer)
            # What is masked already goes first.
            scores[name] = (score if mask is None else score.masked_fill(~mask.mask, -1.0)).flatten()
            self._gone[name] = 0.0 if mask is None else 1 - float(mask.mask.double().mean())
        sizes = [len(score) for score in scores.values()]
        whole = torch.split(_places(torch.cat(list(scores.values()))), sizes)
        self._elements = sum(sizes)
        # Where a model is sparse already, turning begins there.
        zero = sum(int((score <= 0).sum()) for score in scores.values()) / self._elements
        one = Weights.technique
        least = min(round(round(zero / one.step) * one.step, 9), one.most)
        self.technique = replace(one, least=least, start=least)
        self._whole = {
            name: _like(held.weights[name], part) for name, part in zip(scores, whole, strict=True)
        }
        self._table: dict[str, Any] | None = None
        with contextlib.suppress(SecateurError):  # nothing has measured it, or nothing as it is
            self._table = findings(held.model, "weights")
        if self._table is not None:
            how = (
                "at least loss by the sensitivity that was measured; beyond it by magnitude, over all layers"
            )
            self.technique = replace(self.technique, how=how)
        ranked = scores if self._table is not None else {}
        self._own = {name: _like(held.weights[name], _places(score)) for name, score in ranked.items()}
        self._solved: dict[float, Rates | None] = {}

    def prepare(self) -> bool:
        """Solve for one more sparsity: that takes longer than a key may."""
        if self._table is None:
            return False
        one = self.technique
        steps = round((one.most - one.least) / one.step)
        every = (round(one.least + step * one.step, 9) for step in range(1, steps + 1))
        if (value := next((each for each in every if each not in self._solved), None)) is not None:
            self._rates(value)
        return value is not None

    def set(self, value: float) -> Setting:
        held, rates = self._held, self._rates(value)
        if rates is None:
            more = round(value * self._elements) if value > self.technique.least else 0
            places, gone = self._whole, dict.fromkeys(self._whole, more)
        else:
            places, gone = self._own, {name: round(rates[name] * p.numel()) for name, p in self._own.items()}
        weights = {
            name: torch.where(place >= gone[name], held.weights[name], 0.0) for name, place in places.items()
        }
        kept = {
            name: replace(held.stored[f"{name}.weight"], nonzero=int(torch.count_nonzero(weight)))
            for name, weight in weights.items()
        }
        given = {"sparsity": value} | ({} if rates is None else {"scope": "solved"})
        return replace(
            rewritten(held, value, weights, kept),
            levels={name: 1 - one.nonzero / one.elements for name, one in kept.items()},
            steps={PruneWeights.kind: given} if value > self.technique.least else {},
        )

    def _rates(self, value: float) -> Rates | None:
        """Each layer's rate by the solver; None without a table, and beyond what it measured."""
        if self._table is None or value <= self.technique.least:
            return None
        if value not in self._solved:
            sizes = {name: place.numel() for name, place in self._own.items()}
            try:
                self._solved[value] = solved_rates(self._table["rows"], sizes, value, self._gone)
            except SecateurError:  # nothing is predicted there
                self._solved[value] = None
        return self._solved[value]


def _places(scores: Tensor) -> Tensor:
    """The place of each score in their order; of equal ones the first goes first."""
    order = torch.argsort(scores, stable=True)
    places = torch.empty(len(order), dtype=torch.int32)
    places[order] = torch.arange(len(order), dtype=torch.int32)
    return places


def _like(weight: Tensor, places: Tensor) -> Tensor:
    """The places in the shape and memory layout of the weight, in which they are compared fastest."""
    return torch.empty_like(weight, dtype=places.dtype).copy_(places.view(weight.shape))
