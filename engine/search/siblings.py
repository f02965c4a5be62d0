"""Points that share their trainings with a good candidate: other bits for the same network cost no epoch, only a look.

A sampler that knows nothing of costs draws a new network for each number of bits. Here the best candidates are asked
what the value beside theirs gives, wherever only steps behind the last training change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from engine.params.search import MOST_ACCURATE
from engine.presets.space import Dimension, Point
from engine.search.history import Candidate
from engine.search.ranking import Ranking
from engine.search.task import Task


def siblings(task: Task, known: Sequence[Candidate], rank: Ranking) -> Iterator[dict[str, Any]]:
    """Points beside those of the best candidates, the best's first: harsher ones of those within the limits, or milder
    ones where accuracy is the goal, and of others what brings them nearer. A step that is switched on does the middle
    of what it may.

    A candidate that has not been trained as is wished by now shares its trainings with nothing that may be proposed.
    """
    trained = task.space.names[: task.space.trained]
    wish = replace(task, held={name: on for name, on in task.held.items() if name in trained})
    behind = [one for one in task.space.dimensions if one.step >= task.space.trained > 0]
    middle = {one.path: one.between(0.5) for one in behind}
    for one in [one for one in rank.best(known) if wish.allows(one.point)][: task.batch]:
        assert one.last is not None
        within = rank.excess(one.last, one.rung) <= 0.0
        harsher = task.goal != MOST_ACCURATE if within else rank.is_too_large(one.last)
        # Fewer bits are a smaller file, but not surely a faster one.
        numbers = not (within and task.goal.startswith("latency."))
        for dimension in behind:
            value = _beside(dimension, one.point, harsher) if numbers or dimension.switch else None
            if value is not None:
                yield {**middle, **one.point, dimension.path: value}


def _beside(dimension: Dimension, point: Point, harsher: bool) -> Any:
    """The value beside the point's, on the harsher or the milder side; None where there is none."""
    value = point.get(dimension.path)
    if dimension.switch:
        return harsher if harsher in dimension.values and value is not harsher else None
    return None if value is None else dimension.next(value, harsher=harsher)  # None: its step is off


def begun(task: Task, known: Sequence[Candidate], point: Point) -> int:
    """The highest rung to which a known candidate with the same trainings went: a new point begins there."""
    trainings = task.space.trainings(point)
    return max((one.rung for one in known if task.space.trainings(one.point) == trainings), default=0)
