"""Which units go: numbers in, numbers out, no network.

Every scope puts the removals of all groups in one order; a budget then takes as many of them, from the first on, as it
needs. Units of a group go by importance, in steps that keep to the rounding, and never below the group's floor.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from engine.compute.steps.channels.cost import Cost

Scope = Literal["local", "global", "isomorphic", "cost", "sensitivity"]

Levels = Callable[[str, float], float]
"""The loss that is predicted when a group (name) has lost a share (0 to 1) of its units; it rises with the share."""


@dataclass(frozen=True)
class Candidate:
    """A group as the choice sees it.

    `units`: those left; `whole`: those before anything was removed; `per_unit`: channels in one; `least`: units
    that stay; `step`: units left are a multiple of this, or nothing is removed; `importance` (units,) ≥ 0.
    """

    name: str
    units: int
    whole: int
    per_unit: int = 1
    structure: str = ""
    least: int = 1
    step: int = 1
    importance: Tensor = field(default_factory=lambda: torch.empty(0))

    def ranked(self, importance: Tensor) -> "Candidate":
        return replace(self, importance=importance)

    @property
    def reachable(self) -> int:
        """The fewest units that may be left."""
        goal = max(self.units - 1, 0) // self.step * self.step
        return min(self.least, self.units) if goal >= self.least else self.units


@dataclass(frozen=True)
class Removal:
    """Some units of one group that go together; `key` is the share of all channels competing with them that is gone
    half-way through the removal, by which a scope puts removals in order."""

    key: float
    group: str
    units: tuple[int, ...]
    importance: float


def step_of(per_unit: int, round_to: int) -> int:
    """Units in one rounding step: the fewest whose channels are a multiple of `round_to`.

    >>> step_of(1, 8), step_of(4, 8), step_of(3, 8)
    (8, 2, 8)
    """
    return round_to // math.gcd(per_unit, round_to)


def least_of(units: int, floor: float, step: int) -> int:
    """Units that stay: at least one, at least the share `floor`, a multiple of `step`.

    >>> least_of(16, 0.1, 1), least_of(16, 0.1, 8), least_of(5, 0.0, 8)
    (2, 8, 8)
    """
    return max(1, math.ceil(math.ceil(floor * units - 1e-9) / step)) * step


def removals(candidate: Candidate) -> list[Removal]:
    """The group's removals from the first to the last that its floor allows; keys are not set."""
    order = torch.argsort(candidate.importance, stable=True).tolist()
    values = candidate.importance.double().tolist()
    order_of_removal, left = [], candidate.units
    while (goal := (left - 1) // candidate.step * candidate.step) >= candidate.least:
        units = order[candidate.units - left : candidate.units - goal]
        order_of_removal.append(
            Removal(0.0, candidate.name, tuple(units), sum(values[u] for u in units) / len(units))
        )
        left = goal
    return order_of_removal


def ordered(
    candidates: list[Candidate], scope: Scope, *, cost: Cost | None = None, levels: Levels | None = None
) -> list[Removal]:
    """The removals of all groups in the order of the scope.

    `cost` needs the cost that importance is weighed against, `sensitivity` the losses predicted.
    """
    if scope == "cost":
        assert cost is not None
        return _keyed(_by_cost(candidates, cost), candidates)
    if scope == "sensitivity":
        assert levels is not None
        return _keyed(_by_level(candidates, levels), candidates)
    classes: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        key = {"local": candidate.name, "global": "", "isomorphic": candidate.structure}[scope]
        classes[key].append(candidate)
    keyed = [
        removal
        for members in classes.values()
        for removal in _keyed(
            sorted((r for c in members for r in removals(c)), key=lambda r: r.importance), members
        )
    ]
    return sorted(keyed, key=lambda r: r.key)


def _keyed(order: list[Removal], members: list[Candidate]) -> list[Removal]:
    """Keys by rank: the share of the members' channels that is gone half-way through each removal."""
    by_name = {c.name: c for c in members}
    total = sum(c.whole * c.per_unit for c in members)
    gone = sum((c.whole - c.units) * c.per_unit for c in members)
    keyed = []
    for removal in order:
        channels = len(removal.units) * by_name[removal.group].per_unit
        keyed.append(Removal((gone + channels / 2) / total, removal.group, removal.units, removal.importance))
        gone += channels
    return keyed


def _by_cost(candidates: list[Candidate], cost: Cost) -> list[Removal]:
    """Greedy: next goes what has the least importance per cost saved.

    Savings only fall as others shrink, so what is best by an old saving is looked at again before it is taken.
    """
    waiting = {c.name: removals(c) for c in candidates}
    left = {c.name: c.units for c in candidates}
    now = cost(left)

    def price(name: str) -> float:
        removal = waiting[name][0]
        saved = now - cost(left | {name: left[name] - len(removal.units)})
        return removal.importance * len(removal.units) / saved if saved > 0 else math.inf

    heap = [(price(name), index, name) for index, name in enumerate(waiting) if waiting[name]]
    heapq.heapify(heap)
    order = []
    while heap:
        _, index, name = heapq.heappop(heap)
        current = price(name)
        if heap and current > heap[0][0]:
            heapq.heappush(heap, (current, index, name))
            continue
        removal = waiting[name].pop(0)
        left[name] -= len(removal.units)
        now = cost(left)
        order.append(removal)
        if waiting[name]:
            heapq.heappush(heap, (price(name), index, name))
    return order


def _by_level(candidates: list[Candidate], levels: Levels) -> list[Removal]:
    """By the loss that each removal is predicted to lead to, and by the share gone where that is equal or unknown."""
    leveled: list[tuple[float, float, Removal]] = []
    for c in candidates:
        gone = c.whole - c.units
        for removal in removals(c):
            gone += len(removal.units)
            leveled.append((levels(c.name, gone / c.whole), gone / c.whole, removal))
    return [removal for _, _, removal in sorted(leveled, key=lambda item: item[:2])]


def left_after(candidates: list[Candidate], order: list[Removal], taken: int) -> dict[str, int]:
    """Units left in each group after the first `taken` removals."""
    left = {c.name: c.units for c in candidates}
    for removal in order[:taken]:
        left[removal.group] -= len(removal.units)
    return left


def until(
    candidates: list[Candidate], order: list[Removal], enough: Callable[[Mapping[str, int]], bool]
) -> int | None:
    """The fewest removals after which `enough`, which stays true once it is; None if all do not suffice."""
    low, high = 0, len(order)
    if not enough(left_after(candidates, order, high)):
        return None
    while low < high:
        middle = (low + high) // 2
        if enough(left_after(candidates, order, middle)):
            high = middle
        else:
            low = middle + 1
    return low


def at_share(order: list[Removal], ratio: float) -> int:
    """The removals that take the share `ratio` of the channels, to the nearest step in each class of competitors."""
    return sum(removal.key <= ratio + 1e-9 for removal in order)


def without_spare(
    candidates: list[Candidate], taken: list[Removal], enough: Callable[[Mapping[str, int]], bool]
) -> list[Removal]:
    """The removals of `taken`, which together are `enough`, without those that are not needed for that.

    Where many channels go at once, the last removal may save far more than was missing. Then earlier ones are taken
    back as far as the rest is still enough, the dearest first; within a group the last to go is the first to come back.
    """
    left = left_after(candidates, taken, len(taken))
    needed: list[Removal] = []
    held: set[str] = set()
    for removal in reversed(taken):
        units = left[removal.group] + len(removal.units)
        if removal.group not in held and enough({**left, removal.group: units}):
            left[removal.group] = units
        else:
            held.add(removal.group)
            needed.append(removal)
    return needed[::-1]


def units_gone(removals: Iterable[Removal]) -> dict[str, Tensor]:
    """Indices of the units that the removals remove, by group."""
    gone: dict[str, list[int]] = defaultdict(list)
    for removal in removals:
        gone[removal.group] += removal.units
    return {name: torch.tensor(sorted(units)) for name, units in gone.items()}


def share_gone(candidates: list[Candidate], left: Mapping[str, int]) -> float:
    """Share of the channels before anything was removed that is gone with `left` units."""
    whole = sum(c.whole * c.per_unit for c in candidates)
    return 1 - sum(left[c.name] * c.per_unit for c in candidates) / whole
