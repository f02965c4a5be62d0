"""One level for each layer, so that the losses predicted are least within limits of cost: a multiple-choice knapsack.

By dynamic programming over discretised cost, as in SPDY (Frantar & Alistarh 2022, "SPDY: Accurate Pruning with Speedup
Guarantees"), with one difference: of partial choices that cost about the same the best is kept with what it really
costs, so that roundings don't add up over layers, and a choice that is found does hold every limit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELLS = 2048
"""Choices of the first layers that are told apart by what they cost, under all limits together."""
ROUNDING = 1e-9
"""Share of a limit that sums of floats may miss."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """What a layer would be at one level: the loss that it adds, and what it costs of each limit; costs ≥ 0."""

    level: float
    loss: float
    costs: tuple[float, ...]


@dataclass(frozen=True)
class _Front:
    """Choices for the first layers: their costs (choices, limits), losses, and how each came about: which choice of the
    layers before, and which option of the last one."""

    costs: Floats
    losses: Floats
    before: NDArray[np.int64]
    option: NDArray[np.int64]


def solve(layers: Mapping[str, Sequence[Option]], limits: Sequence[float]) -> dict[str, Option] | None:
    """The option of every layer for which the sum of losses is least and each sum of costs within its limit.

    Exact where no two sums of costs fall into one of the cells that a limit is divided in (whole numbers up to `CELLS`
    under one limit do not); else near to it. None where no choice holds all limits: for one limit that is certain.
    """
    names = list(layers)
    losses = [np.array([one.loss for one in layers[name]]) for name in names]
    costs = [np.array([one.costs for one in layers[name]], dtype=float) for name in names]
    bounds = np.array([limit * (1 + ROUNDING) + ROUNDING for limit in limits])
    # What the layers after each one take at least: choices that leave less than that lead nowhere.
    rest = np.zeros((len(names) + 1, len(limits)))
    for place in reversed(range(len(names))):
        rest[place] = rest[place + 1] + costs[place].min(axis=0)
    none = np.zeros(0, dtype=np.int64)
    fronts = [_Front(np.zeros((1, len(limits))), np.zeros(1), none, none)]
    for place in range(len(names)):
        front = _with_layer(fronts[-1], costs[place], losses[place], bounds, rest[place + 1])
        if not len(front.losses):
            return None
        fronts.append(front)
    at = int(np.argmin(fronts[-1].losses))
    chosen: dict[str, Option] = {}
    for name, front in zip(reversed(names), reversed(fronts[1:]), strict=True):
        chosen[name] = layers[name][front.option[at]]
        at = int(front.before[at])
    return {name: chosen[name] for name in names}


def _with_layer(front: _Front, costs: Floats, losses: Floats, bounds: Floats, rest: Floats) -> _Front:
    """Every choice so far with every option of one more layer, of those in one cell the best."""
    options = len(losses)
    sums = (front.costs[:, None] + costs[None]).reshape(-1, costs.shape[1])
    added = (front.losses[:, None] + losses[None]).reshape(-1)
    kept = np.flatnonzero((sums + rest <= bounds).all(axis=1) & np.isfinite(added))
    cells = max(round(CELLS ** (1 / len(bounds))), 2)
    places = np.minimum((sums[kept] / bounds * cells).astype(np.int64), cells)
    cell = places @ (cells + 1) ** np.arange(len(bounds))
    # Of equal losses the cheaper one; the cheapest of all stays in any case, because only it may hold the limit.
    order = np.lexsort((sums[kept].sum(axis=1), added[kept], cell))
    first = np.ones(len(order), dtype=bool)
    first[1:] = cell[order][1:] != cell[order][:-1]
    best = kept[order[first]]
    if len(kept):
        best = np.union1d(best, kept[np.argmin(sums[kept].sum(axis=1))])
    return _Front(sums[best], added[best], best // options, best % options)


def levels(points: Sequence[tuple[float, float]], wanted: Sequence[float]) -> list[tuple[float, float]]:
    """The loss at each `wanted` level by straight lines through measured `points` (level, loss), rising in level.

    Levels outside of what was measured are left out: nothing is predicted there.

    >>> levels([(0.0, 0.0), (0.5, 0.1), (0.9, 0.3)], [0.25, 0.7, 0.95])
    [(0.25, 0.05), (0.7, 0.2)]
    """
    xs, ys = zip(*points, strict=True)
    inside = [one for one in wanted if xs[0] <= one <= xs[-1]]
    return [(one, round(float(np.interp(one, xs, ys)), 12)) for one in inside]


def spread(low: float, high: float, count: int) -> list[float]:
    """`count` levels from `low` to `high`, evenly.

    >>> spread(0.0, 0.9, 4)
    [0.0, 0.3, 0.6, 0.9]
    """
    if count < 2 or math.isclose(low, high):
        return [low]
    return [round(low + (high - low) * number / (count - 1), 12) for number in range(count)]
