"""What a network costs as a function of the channels left in each group, without building it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.compute.measures.counts import Counts, count
from engine.compute.steps.channels.attention import PROJECTIONS
from engine.compute.steps.channels.groups import Group


class Cost(Protocol):
    """A cost that falls, or stays, as units are removed: MACs, parameters, milliseconds."""

    def __call__(self, left: Mapping[str, int]) -> float:
        """The cost with `left` units in each group, by the group's name; a group that is not named is whole."""


@dataclass(frozen=True)
class _Term:
    """A tensor: `factor` × the product of its widths along the dimensions that can shrink."""

    macs: float
    parameters: float
    dims: tuple[int, ...]


class Predictor:
    """MACs and parameters of a network for any number of units left, as `measure.counts` would count them.

    A weight's MACs are proportional to its elements, for every one meets the same number of positions; those of
    attention without a weight are proportional to the width of its heads.
    """

    def __init__(self, model: nn.Module, groups: list[Group], shape: tuple[int, ...]) -> None:
        counts = count(model, shape)
        self.units = {group.name: group.units for group in groups}
        self._order = {name: index for index, name in enumerate(self.units)}
        widths: list[int] = []
        shrinking: list[Tensor] = []
        axes: dict[tuple[str, int], int] = {}
        sizes = _shapes(model)
        for group in groups:
            for cut in group.cuts:
                key = (cut.tensor, cut.dim)
                if key not in axes:
                    axes[key] = len(widths)
                    widths.append(sizes[cut.tensor][cut.dim])
                    shrinking.append(torch.zeros(len(groups), dtype=torch.float64))
                shrinking[axes[key]][self._order[group.name]] += cut.per_unit
        self._widths = torch.tensor(widths, dtype=torch.float64)
        self._shrinking = (
            torch.stack(shrinking) if shrinking else torch.zeros(0, len(groups), dtype=torch.float64)
        )
        terms, self._fixed_macs, self._fixed_parameters = _terms(model, counts, axes, sizes)
        # One dummy axis of width 1 gives every term two dimensions, so that all are computed at once.
        dummy = len(widths)
        self._dims = torch.tensor([(*t.dims, dummy, dummy)[:2] for t in terms]).T.reshape(2, -1)
        self._macs = torch.tensor([t.macs for t in terms], dtype=torch.float64)
        self._parameters = torch.tensor([t.parameters for t in terms], dtype=torch.float64)

    def macs(self, left: Mapping[str, int]) -> float:
        """Multiply-accumulates for one image."""
        return self._fixed_macs + float(self._macs @ self._products(left))

    def parameters(self, left: Mapping[str, int]) -> float:
        """Number of parameters."""
        return self._fixed_parameters + float(self._parameters @ self._products(left))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for `engine.search.widths`: the `units` of groups, the `axes` with what a unit of each
        group takes of them, and the `terms`: their MACs and parameters with the axes that they go with."""
        names, dummy = list(self.units), len(self._widths)
        axes = [
            [int(width), {names[n]: int(each) for n, each in enumerate(shares.tolist()) if each}]
            for width, shares in zip(self._widths.tolist(), self._shrinking, strict=True)
        ]
        dims = [[axis for axis in pair if axis != dummy] for pair in self._dims.T.tolist()]
        terms = [
            list(term) for term in zip(self._macs.tolist(), self._parameters.tolist(), dims, strict=True)
        ]
        fixed = [self._fixed_macs, self._fixed_parameters]
        return {"units": self.units, "axes": axes, "terms": terms, "fixed": fixed}

    def _products(self, left: Mapping[str, int]) -> Tensor:
        removed = torch.zeros(len(self._order), dtype=torch.float64)
        for name, units in left.items():
            removed[self._order[name]] = self.units[name] - units
        widths = torch.cat([self._widths - self._shrinking @ removed, torch.ones(1, dtype=torch.float64)])
        return widths[self._dims[0]] * widths[self._dims[1]]


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {_plain(name): t.shape for name, t in [*model.named_parameters(), *model.named_buffers()]}


def _plain(name: str) -> str:
    """A masked weight's name is that of the weight."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def _terms(
    model: nn.Module, counts: Counts, axes: dict[tuple[str, int], int], sizes: dict[str, torch.Size]
) -> tuple[list[_Term], float, float]:
    """The terms of what can shrink, and the MACs and parameters of the rest."""
    macs = {layer.name: layer.macs for layer in counts.layers}
    parameters = {_plain(name) for name, _ in model.named_parameters()}
    terms, fixed_macs, fixed_parameters = [], 0.0, 0.0
    for name in {*macs, *parameters}:
        shape = sizes.get(name, torch.Size())
        own, elements = macs.get(name, 0), (shape.numel() if name in parameters else 0)
        dims = [d for d in range(len(shape)) if (name, d) in axes]
        base = math.prod(shape[d] for d in dims)
        keys = [axes[name, d] for d in dims]
        if name not in sizes and (heads := _heads(name, axes)) is not None:
            keys, base = [heads], _width(name, axes, sizes)
        if keys:
            terms.append(_Term(own / base, elements / base, tuple(keys)))
        else:
            fixed_macs += own
            fixed_parameters += elements
    return terms, fixed_macs, fixed_parameters


def _heads(module: str, axes: dict[tuple[str, int], int]) -> int | None:
    """The axis that the products of an attention without a weight are proportional to."""
    sizes = (axes.get((f"{module}.{name}", 0)) for name in PROJECTIONS)
    return next((axis for axis in sizes if axis is not None), None)


def _width(module: str, axes: dict[tuple[str, int], int], sizes: dict[str, torch.Size]) -> int:
    return next(sizes[f"{module}.{n}"][0] for n in PROJECTIONS if (f"{module}.{n}", 0) in axes)
