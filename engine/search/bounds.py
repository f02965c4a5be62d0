"""How far the network lets techniques go: what is known to be impossible is not proposed.

A worker finds it out before anything is trained (`engine.search.reach`). The study's log keeps it: a search that goes
on, or is replayed, proposes the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.presets.space import Dimension, Point, Space


@dataclass(frozen=True)
class Bound:
    """The most that a parameter of the space can be where others of its step, that decide over it, are as in `at`."""

    path: str
    most: float
    at: Mapping[str, Any]

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Bound":
        return cls(str(told["path"]), float(told["most"]), dict(told["at"]))


def allows(one: Dimension, most: float) -> bool:
    """Whether the dimension has a value that is in reach."""
    if one.values:
        return any(_in_reach(value, most) for value in one.values)
    return most > one.low or (most == one.low and not one.opens)


def clipped(space: Space, bounds: Sequence[Bound]) -> Space:
    """The space without the values that are out of reach whatever the others are."""
    most: dict[str, float] = {}
    for bound in bounds:
        most[bound.path] = max(bound.most, most.get(bound.path, bound.most))
    dimensions = (_clipped(one, most.get(one.path)) for one in space.dimensions)
    return replace(space, dimensions=tuple(dimensions))


def _clipped(one: Dimension, most: float | None) -> Dimension:
    if most is None or not allows(one, most):
        return one
    if one.values:
        return replace(one, values=tuple(value for value in one.values if _in_reach(value, most)))
    if most <= one.low:
        return replace(one, values=(one.between(0.0),))
    return replace(one, high=min(one.high, math.floor(most) if one.whole else most))


def _in_reach(value: Any, most: float) -> bool:
    return not isinstance(value, int | float) or value <= most


def within(space: Space, bounds: Sequence[Bound], point: Point) -> dict[str, Any] | None:
    """The point, with no value beyond what is in reach beside its others; None where one of them has no such value."""
    found, by_path = dict(point), {one.path: one for one in space.dimensions}
    for path in dict.fromkeys(bound.path for bound in bounds if bound.path in point):
        own = (bound for bound in bounds if bound.path == path)
        nearest = min(own, key=lambda bound: _distance(by_path, bound.at, point))
        if _in_reach(point[path], nearest.most):
            continue
        left = _clipped(by_path[path], nearest.most)
        numbers = [value for value in left.values or (left.high,) if isinstance(value, int | float)]
        if not numbers or max(numbers) > nearest.most:
            return None
        found[path] = max(numbers)
    return found


def _distance(by_path: Mapping[str, Dimension], at: Mapping[str, Any], point: Point) -> float:
    """How far the point is from where a bound was found: along ranges by their share, else whether it is the same."""
    return sum(
        float(point[path] != value)
        if by_path[path].values
        else abs(by_path[path].share(point[path]) - by_path[path].share(value))
        for path, value in at.items()
    )
