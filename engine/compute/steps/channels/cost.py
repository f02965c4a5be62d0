"""What a network costs as a function of the channels left in each group, without building it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.compute.layers.attention import FreeAttention
from engine.compute.measures.counts import Counts, count
from engine.compute.steps.channels.attention import PROJECTIONS
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.widths import Axis, Widths


class Cost(Protocol):
    """A cost that falls, or stays, as units are removed: MACs, parameters, milliseconds."""

    def __call__(self, left: Mapping[str, int]) -> float:
        """The cost with `left` units in each group, by the group's name; a group that is not named is whole."""


@dataclass(frozen=True)
class _Term:
    """A tensor: `macs` and `parameters` are each multiplied by its widths along `dims`, the axes that can shrink."""

    macs: float
    parameters: float
    dims: tuple[int, ...]


class Predictor:
    """MACs and parameters of a network for any number of units left, as `engine.compute.measures.counts` counts them.

    A weight's MACs are proportional to its elements, for every one meets the same number of positions; those of
    attention without a weight are proportional to the width of its heads.
    """

    def __init__(self, model: nn.Module, groups: list[Group], shape: tuple[int, ...]) -> None:
        counts = count(model, shape)
        self.units = {group.name: group.units for group in groups}
        sizes = _shapes(model)
        keys = dict.fromkeys((cut.tensor, cut.dim) for group in groups for cut in group.cuts)
        axes = {key: place for place, key in enumerate(keys)}
        heads = _heads(model, sizes)
        self._widths = Widths(groups, [*(Axis(*key, sizes[key[0]][key[1]]) for key in axes), *heads.values()])
        of_heads = {name: len(axes) + place for place, name in enumerate(heads)}
        whole = self._widths({})
        terms, self._fixed_macs, self._fixed_parameters = _terms(model, counts, axes, of_heads, sizes, whole)
        # One dummy axis of width 1 gives every term two dimensions, so that all are computed at once.
        dummy = len(whole)
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
        """Plain JSON values, for `engine.search.widths`: the `units` of groups, the `axes` with how many of their
        positions go with which groups, and the `terms`: their MACs and parameters with the axes that they go with."""
        axes = self._widths.as_lists()
        dummy = len(axes)
        dims = [[axis for axis in pair if axis != dummy] for pair in self._dims.T.tolist()]
        terms = [
            list(term) for term in zip(self._macs.tolist(), self._parameters.tolist(), dims, strict=True)
        ]
        fixed = [self._fixed_macs, self._fixed_parameters]
        return {"units": self.units, "axes": axes, "terms": terms, "fixed": fixed}

    def _products(self, left: Mapping[str, int]) -> Tensor:
        widths = torch.cat([self._widths(left), torch.ones(1, dtype=torch.float64)])
        return widths[self._dims[0]] * widths[self._dims[1]]


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {_plain(name): t.shape for name, t in [*model.named_parameters(), *model.named_buffers()]}


def _plain(name: str) -> str:
    """A masked weight's name is that of the weight."""
    return name.replace("parametrizations.", "").removesuffix(".original")


def _terms(
    model: nn.Module,
    counts: Counts,
    axes: dict[tuple[str, int], int],
    heads: dict[str, int],
    sizes: dict[str, torch.Size],
    whole: Tensor,
) -> tuple[list[_Term], float, float]:
    """The terms of what can shrink, and the MACs and parameters of the rest.

    `axes` and `heads` are places in `whole`, the widths of the whole network: of dimensions of weights, and of what
    attentions without a weight are proportional to.
    """
    macs = {layer.name: layer.macs for layer in counts.layers}
    parameters = dict.fromkeys(_plain(name) for name, _ in model.named_parameters())
    terms, fixed_macs, fixed_parameters = [], 0.0, 0.0
    for name in macs | parameters:  # in the network's order, which sums depend on
        shape = sizes.get(name, torch.Size())
        own, elements = macs.get(name, 0), (shape.numel() if name in parameters else 0)
        keys = [axes[name, d] for d in range(len(shape)) if (name, d) in axes]
        if name not in sizes and name in heads:
            keys = [heads[name]]
        if keys:
            base = float(whole[keys].prod())
            terms.append(_Term(own / base, elements / base, tuple(keys)))
        else:
            fixed_macs += own
            fixed_parameters += elements
    return terms, fixed_macs, fixed_parameters


def _heads(model: nn.Module, sizes: dict[str, torch.Size]) -> dict[str, Axis]:
    """What the products of attentions without a weight are proportional to, by the module's name.

    Queries meet keys and weights meet values: a product for each position of a query and of a value.
    """
    axes = {}
    for name, module in model.named_modules():
        if isinstance(module, FreeAttention):
            queries, _, values = module.parts
            among = torch.tensor([*queries, *values])
            inner, layer = module.gives
            axes[name] = Axis(f"{name}.{inner}.weight", 0, layer.out_features, among)
            continue
        for weight in PROJECTIONS:
            if f"{name}.{weight}" in sizes:
                axes[name] = Axis(f"{name}.{weight}", 0, sizes[f"{name}.{weight}"][0])
    return axes
