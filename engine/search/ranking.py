"""Which of two candidates is the better one, though their trainings may still be short."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from engine.params.search import MOST_ACCURATE
from engine.presets import limits
from engine.search.history import Candidate
from engine.search.task import Outcome, Task

POINTS_A_DOUBLING = 10.0
"""Points of accuracy that count as much as having twice what a limit allows."""
GAIN = 0.01
"""What each further doubling of a training is taken to gain while no candidate has shown it: a point."""

Key = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    """The order of candidates by what is known of all of them; the least key is the best.

    `gains` has for each rung what a training still gains from there to the highest (0 … 1).
    """

    task: Task
    gains: tuple[float, ...]

    @classmethod
    def of(cls, task: Task, known: Sequence[Candidate]) -> "Ranking":
        top = len(task.space.rungs) - 1
        return cls(task, tuple(_gain(rung, top, known) for rung in range(top + 1)))

    def excess(self, outcome: Outcome, rung: int, errors: float = 0.0) -> float:
        """By how much the limits are exceeded, in points; at most 0 within all of them.

        A short training is given what it may still gain, and a loss so many of its standard `errors`; an amount that is
        twice its limit counts as `POINTS_A_DOUBLING` points.
        """
        loss = 100 * (outcome.loss - errors * outcome.error - self.gains[rung] - self.task.allowed)
        over = [loss] if math.isfinite(self.task.allowed) else []
        return max([*over, *self._too_much(outcome)], default=0.0)

    def is_too_large(self, outcome: Outcome) -> bool:
        """Whether some amount exceeds its limit, which no training mends."""
        return max(self._too_much(outcome), default=0.0) > 0.0

    def _too_much(self, outcome: Outcome) -> list[float]:
        """By how much each amount exceeds its limit, in points."""
        over = []
        for limit in limits.amounts(self.task.limits):
            value, baseline = outcome.amounts[limit.measure]
            bound = limit.bound(baseline)
            if bound:
                over.append(POINTS_A_DOUBLING * math.log2(max(value, 1e-12) / bound))
        return over

    def key(self, outcome: Outcome, rung: int, errors: float = 0.0) -> Key:
        """Inside the limits the least amount is best, outside what is nearest."""
        return max(self.excess(outcome, rung, errors), 0.0), self.task.amount(outcome)

    def bound(self, known: Sequence[Candidate], count: int) -> float:
        """The most of the goal that a candidate may have and still be among the best `count` after more training;
        infinite where accuracy is the goal, or fewer are within the limits."""
        if self.task.goal == MOST_ACCURATE:
            return math.inf
        last = [outcome for one in known if (outcome := one.last) is not None]
        within = sorted(self.task.amount(one) for one in last if self._is_within(one))
        return within[count - 1] if len(within) >= count else math.inf

    def _is_within(self, outcome: Outcome) -> bool:
        """Whether it keeps to all limits as it is."""
        return self.excess(outcome, len(self.gains) - 1) <= 0.0

    def best(self, known: Sequence[Candidate]) -> list[Candidate]:
        """Those that did not fail on their highest rung, the best first; of equals the earlier."""
        alive = [(one, last) for one in known if (last := one.last) is not None]
        ordered = sorted(alive, key=lambda pair: (self.key(pair[1], pair[0].rung), pair[0].number))
        return [one for one, _ in ordered]


def _gain(rung: int, top: int, known: Sequence[Candidate]) -> float:
    """The median gain of those that went from `rung` to the highest rung that any of them reached, and `GAIN` for each
    rung above that one, which nobody has shown yet."""
    for reached in range(top, rung, -1):
        gains = [
            after.quality - before.quality
            for one in known
            if (before := one.outcomes.get(rung)) is not None
            and (after := one.outcomes.get(reached)) is not None
        ]
        if gains:
            return max(0.0, statistics.median(gains)) + GAIN * (top - reached)
    return GAIN * (top - rung)
