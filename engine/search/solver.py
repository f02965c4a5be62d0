"""One level for each layer, so that the losses predicted are least within limits of cost: a multiple-choice knapsack.

By dynamic programming over discretised cost, as in SPDY (Frantar & Alistarh 2022, "SPDY: Accurate Pruning with Speedup
Guarantees"), with one difference: of partial choices that cost about the same the best is kept with what it really
costs, so that roundings don't add up over layers, and a choice that is found does hold every limit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CELLS = 512
"""Choices for the first layers that are told apart by what they cost, under all limits together."""
ROUNDING = 1e-9
"""Share of a limit that sums of floats may miss."""

Costs = tuple[float, ...]


@dataclass(frozen=True)
class Option:
    """What a layer would be at one level: the loss that it adds, and what it costs of each limit; costs ≥ 0."""

    level: float
    loss: float
    costs: Costs


@dataclass(frozen=True)
class _Front:
    """Choices for the first layers: their losses (n,) and costs (n, limits) in sum, the option of the last layer (n,)
    by its place, and the choice of those before it (n,) by its place in the front before."""

    losses: "np.ndarray"
    costs: "np.ndarray"
    option: "np.ndarray"
    before: "np.ndarray"


def solve(layers: Mapping[str, Sequence[Option]], limits: Sequence[float]) -> dict[str, Option] | None:
    """The option of every layer for which the sum of losses is least and each sum of costs within its limit.

    Exact where no two sums of costs fall into one of the cells that a limit is divided in (whole numbers up to `CELLS`
    under one limit do not); else near to it. None where no choice holds all limits: for one limit that is certain.
    """
    import numpy as np

    bounds = np.array([limit * (1 + ROUNDING) + ROUNDING for limit in limits])
    each = {name: _useful(options) for name, options in layers.items()}
    if not all(each.values()):
        return None
    # What the layers after each one take at least: choices that leave less than that lead nowhere.
    rest = [np.zeros(len(limits))]
    for options in reversed(each.values()):
        rest.append(rest[-1] + np.array([one.costs for one in options]).min(0))
    none = np.zeros(1, dtype=int)
    fronts = [_Front(np.zeros(1), np.zeros((1, len(limits))), none, none)]
    for options, after in zip(each.values(), reversed(rest[:-1]), strict=True):
        front = _with_layer(fronts[-1], options, bounds, after)
        if front is None:
            return None
        fronts.append(front)
    place = _ordered(fronts[-1].losses, fronts[-1].costs)[0]
    chosen: dict[str, Option] = {}
    for name, front in zip(reversed(each), reversed(fronts), strict=False):
        chosen[name] = each[name][front.option[place]]
        place = front.before[place]
    return {name: chosen[name] for name in layers}


def _useful(options: Sequence[Option]) -> list[Option]:
    """Those that no other one is better than in loss and all costs; of equal ones the first."""
    kept: list[Option] = []
    for one in sorted(options, key=lambda one: (one.loss, one.costs)):
        better = any(all(b <= a for a, b in zip(one.costs, other.costs, strict=True)) for other in kept)
        if math.isfinite(one.loss) and not better:
            kept.append(one)
    return kept


def _with_layer(
    front: _Front, options: list[Option], bounds: "np.ndarray", after: "np.ndarray"
) -> _Front | None:
    """Every choice so far with every option of one more layer: of those in one cell the best, and the cheapest."""
    import numpy as np

    losses = (front.losses + np.array([[one.loss] for one in options])).ravel()
    costs = (front.costs + np.array([[one.costs] for one in options])).reshape(len(losses), -1)
    fitting = np.flatnonzero((costs <= bounds - after).all(1))
    if not len(fitting):
        return None
    cells = max(round(CELLS ** (1 / len(bounds))), 2)
    cell = np.zeros(len(fitting), dtype=int)
    for own in (costs[fitting] * (cells / bounds)).astype(int).T:
        cell = cell * (cells + 1) + own
    each, first = np.unique(cell, return_index=True)
    order = _ordered(losses[fitting], costs[fitting], cell)
    best = order[np.searchsorted(cell[order], each)][np.argsort(first)]
    cheapest = costs[fitting].sum(1).argmin()
    if not (costs[fitting][best] == costs[fitting][cheapest]).all(1).any():
        best = np.append(best, cheapest)
    kept = fitting[best]
    return _Front(losses[kept], costs[kept], *np.divmod(kept, len(front.losses)))


def _ordered(losses: "np.ndarray", costs: "np.ndarray", *first: "np.ndarray") -> "np.ndarray":
    """Places of choices by what is `first`, then by loss, then by costs; equal ones as they come."""
    import numpy as np

    return np.lexsort((*reversed(costs.T), losses, *first))
