"""Points that need not be tried: they compress no more in anything than a known one that was already too large.

Too large is what exceeds a limit, or has more of the goal than the best candidates have. Training changes no amount, so
what a candidate of the lowest rung came to holds for all points milder than it. Often that leaves a small part of the
space, as where one of two techniques may be off.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from engine.presets import limits
from engine.presets.space import Dimension, Point, Space
from engine.search.history import Candidate
from engine.search.ranking import Ranking
from engine.search.task import Task

SLACK = 1.05
"""How many times the most allowed a known point has to have before milder ones are left out: bytes of a file do not
fall strictly with what is removed."""


def outdone(task: Task, known: Sequence[Candidate], rank: Ranking) -> Callable[[Point], bool]:
    """A function that tells of a point whether some amount of it is sure to be too large."""
    bounds = _bounds(task, known, rank)
    too_large = [
        (one.point, measure)
        for one in known
        if (outcome := one.last) is not None
        for measure, most in bounds.items()
        if outcome.amounts[measure][0] > SLACK * most
    ]
    return lambda point: any(
        milder(task.space, point, other, switches=not measure.startswith("latency."))
        for other, measure in too_large
    )


def _bounds(task: Task, known: Sequence[Candidate], rank: Ranking) -> dict[str, float]:
    """The most of each amount that a candidate may have to come among the best."""
    found = {}
    baselines = next((one.last.amounts for one in known if one.last is not None), {})
    for limit in limits.amounts(task.limits):
        most = limit.bound(baselines[limit.measure][1]) if limit.measure in baselines else None
        found[limit.measure] = math.inf if most is None else most
    if task.goal in task.names:
        least = rank.bound(known, task.search.finalists)
        found[task.goal] = min(least, found.get(task.goal, math.inf))
    return found


def milder(space: Space, point: Point, other: Point, *, switches: bool = True) -> bool:
    """Whether a point compresses no more than another in anything, and so has no less of any amount.

    `switches`: whether a technique that is off counts as milder: a file of fewer bits is smaller, but not surely
    faster. A parameter that says nothing of how far its step goes has to be equal; those of trainings don't count.
    """
    on, others = space.running(point), space.running(other)
    differ = [name for name in space.techniques if on[name] != others[name]]
    if any(on[name] for name in differ) or (differ and not switches):
        return False
    both = {name for name in space.techniques if on[name]}
    return all(
        _no_harsher(one, point[one.path], other[one.path])
        for one in space.dimensions
        if space.names[one.step] in both and not one.switch
    )


def _no_harsher(dimension: Dimension, value: Any, other: Any) -> bool:
    sign = dimension.extent.sign
    numbers = isinstance(value, int | float) and isinstance(other, int | float)
    return bool(value == other or (sign and numbers and sign * (value - other) <= 0))
