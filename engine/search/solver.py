"""One level for each layer, so that the losses predicted are least within limits of cost: a multiple-choice knapsack.

By dynamic programming over discretised cost, as in SPDY (Frantar & Alistarh 2022, "SPDY: Accurate Pruning with Speedup
Guarantees"), with one difference: of partial choices that cost about the same the best is kept with what it really
costs, so that roundings don't add up over layers, and a choice that is found does hold every limit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Choice:
    """Of the first layers: their losses and costs in sum, the option of the last one, the choice of those before."""

    loss: float
    costs: Costs
    option: Option | None = None
    before: "_Choice | None" = None


def solve(layers: Mapping[str, Sequence[Option]], limits: Sequence[float]) -> dict[str, Option] | None:
    """The option of every layer for which the sum of losses is least and each sum of costs within its limit.

    Exact where no two sums of costs fall into one of the cells that a limit is divided in (whole numbers up to `CELLS`
    under one limit do not); else near to it. None where no choice holds all limits: for one limit that is certain.
    """
    found = _front(layers, limits)
    return _options(min(found, key=lambda choice: (choice.loss, choice.costs)), layers) if found else None


def frontier(layers: Mapping[str, Sequence[Option]], limits: Sequence[float]) -> list[dict[str, Option]]:
    """Choices within the limits of which each is the best of those that cost about the same."""
    return [_options(choice, layers) for choice in _front(layers, limits)]


def _front(layers: Mapping[str, Sequence[Option]], limits: Sequence[float]) -> list[_Choice]:
    bounds = tuple(limit * (1 + ROUNDING) + ROUNDING for limit in limits)
    each = [_useful(options) for options in layers.values()]
    # What the layers after each one take at least: choices that leave less than that lead nowhere.
    rest = [tuple(0.0 for _ in limits)]
    for options in reversed(each):
        least = [min(one.costs[n] for one in options) if options else math.inf for n in range(len(limits))]
        rest.append(tuple(a + b for a, b in zip(rest[-1], least, strict=True)))
    front = [_Choice(0.0, tuple(0.0 for _ in limits))]
    for options, after in zip(each, reversed(rest[:-1]), strict=True):
        if len(bounds) == 1:
            front = _under_one_limit(front, options, bounds[0], after[0])
        else:
            front = _with_layer(front, options, bounds, after)
        if not front:
            break
    return front


def _options(choice: _Choice, layers: Mapping[str, Sequence[Option]]) -> dict[str, Option]:
    last: _Choice | None = choice
    chosen: dict[str, Option] = {}
    for name in reversed(list(layers)):
        assert last is not None and last.option is not None
        chosen[name] = last.option
        last = last.before
    return {name: chosen[name] for name in layers}


def _useful(options: Sequence[Option]) -> list[Option]:
    """Those that no other one is better than in loss and all costs; of equal ones the first."""
    kept: list[Option] = []
    for one in sorted(options, key=lambda one: (one.loss, one.costs)):
        better = any(all(b <= a for a, b in zip(one.costs, other.costs, strict=True)) for other in kept)
        if math.isfinite(one.loss) and not better:
            kept.append(one)
    return kept


def _with_layer(front: list[_Choice], options: list[Option], bounds: Costs, after: Costs) -> list[_Choice]:
    """Every choice so far with every option of one more layer: of those in one cell the best, and the cheapest."""
    room = tuple(bound - least for bound, least in zip(bounds, after, strict=True))
    cells = max(round(CELLS ** (1 / len(bounds))), 2)
    scale = tuple(cells / bound for bound in bounds)
    best: dict[int, tuple[float, Costs, _Choice, Option]] = {}
    cheapest: tuple[float, Costs, _Choice, Option] | None = None
    for option in options:
        for choice in front:
            costs = tuple(map(float.__add__, choice.costs, option.costs))
            if not all(map(float.__le__, costs, room)):
                continue
            loss, cell = choice.loss + option.loss, 0
            for cost, each in zip(costs, scale, strict=True):
                cell = cell * (cells + 1) + int(cost * each)
            known = best.get(cell)
            if known is None or loss < known[0] or (loss == known[0] and costs < known[1]):
                best[cell] = (loss, costs, choice, option)
            if cheapest is None or sum(costs) < sum(cheapest[1]):
                cheapest = (loss, costs, choice, option)
    found = list(best.values())
    if cheapest is not None and all(one[1] != cheapest[1] for one in found):
        found.append(cheapest)
    return [_Choice(loss, costs, option, choice) for loss, costs, choice, option in found]


def _under_one_limit(
    front: list[_Choice], options: list[Option], bound: float, after: float
) -> list[_Choice]:
    """What `_with_layer` gives under a single limit, as there mostly is, in a third of the time."""
    room, scale = bound - after, CELLS / bound
    # Of each cell the best: its loss, its cost, what it is made of; `seen` has the cells as they came.
    losses, costs = [math.inf] * (CELLS + 1), [math.inf] * (CELLS + 1)
    parts: list[tuple[_Choice, Option] | None] = [None] * (CELLS + 1)
    seen: list[int] = []
    least, cheapest = math.inf, None
    before = [(choice.loss, choice.costs[0], choice) for choice in front]
    for option in options:
        own_loss, own_cost = option.loss, option.costs[0]
        for loss, cost, choice in before:
            cost += own_cost
            if cost > room:
                continue
            loss, cell = loss + own_loss, int(cost * scale)
            known = losses[cell]
            if loss < known or (loss == known and cost < costs[cell]):
                if parts[cell] is None:
                    seen.append(cell)
                losses[cell], costs[cell], parts[cell] = loss, cost, (choice, option)
            if cost < least:
                least, cheapest = cost, (loss, choice, option)
    found = [
        _Choice(losses[cell], (costs[cell],), part[1], part[0]) for cell in seen if (part := parts[cell])
    ]
    if cheapest is not None and all(costs[cell] != least for cell in seen):
        found.append(_Choice(cheapest[0], (least,), cheapest[2], cheapest[1]))
    return found
