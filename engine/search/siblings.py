"""Points that share their trainings with a good candidate: other bits for the same network cost no epoch, only a look.

A sampler that knows nothing of costs draws a new network for each number of bits. Here the best candidates are asked
what the value beside theirs gives, wherever only steps behind the last training change.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from engine.params.search import MOST_ACCURATE
from engine.presets.space import Point
from engine.search.history import Candidate
from engine.search.ranking import Ranking
from engine.search.task import Task


def siblings(task: Task, known: Sequence[Candidate], rank: Ranking) -> Iterator[dict[str, Any]]:
    """Points beside those of the best candidates, the best's first: harsher ones of those within the limits, where that
    may leave less of the goal, and milder ones of those that are not."""
    space = task.space
    if not space.trained:
        return
    behind = [one for one in space.dimensions if one.step >= space.trained]
    for one in rank.best(known)[: task.search.finalists]:
        harsher = _should_shrink(task, one, rank)
        for dimension in behind if harsher is not None else ():
            if dimension.path not in one.point:  # its step is off
                continue
            value = dimension.next(one.point[dimension.path], harsher=bool(harsher))
            if value is not None:
                yield {**one.point, dimension.path: value}


def _should_shrink(task: Task, one: Candidate, rank: Ranking) -> bool | None:
    """Whether a candidate should go further, or less far; None where neither is known to help: fewer bits are a smaller
    file, but not surely a faster one."""
    assert one.last is not None
    if rank.excess(one.last, one.rung) > 0.0:
        return rank.is_too_large(one.last)
    if task.goal == MOST_ACCURATE:
        return False
    return None if task.goal.startswith("latency.") else True


def begun(task: Task, known: Sequence[Candidate], point: Point) -> int:
    """The highest rung to which a known candidate with the same trainings went: a new point begins there."""
    trainings = task.space.trainings(point)
    return max((one.rung for one in known if task.space.trainings(one.point) == trainings), default=0)
