"""What is asked of a search, and what of a trial answers it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.params.search import MOST_ACCURATE, Search
from engine.presets import limits
from engine.presets.limits import Limit
from engine.presets.space import ENABLED, Point, Space
from engine.presets.spec import Spec
from engine.results.summary import baseline_value, measure_value, quality_of
from engine.search.bounds import Bound, within
from engine.search.luck import standard_error
from engine.studies.state import TrialState


@dataclass(frozen=True)
class Outcome:
    """What a trial came to: its quality on validation (0 … 1), what it lost of its baseline's, and its amounts.

    `amounts` has, by measure, its own and its baseline's; the goal and all limits are among them. `error` is the
    loss's standard error (0 … 1), 0 where it is not known.
    """

    trial: int
    quality: float
    loss: float
    amounts: Mapping[str, tuple[float, float | None]]
    error: float = 0.0


@dataclass(frozen=True)
class Task:
    """A search's section of the preset, with its limits and its space.

    `held`: steps of `over` that have to run (True) or must not, as somebody wished while it ran. `room`: where a round
    is planned again, how many trials it had room for then, for the budget may be another by now; 0: by the budget.
    `bounds`: how far the network lets parameters go.
    """

    search: Search
    space: Space
    seed: int
    held: Mapping[str, bool] = field(default_factory=dict)
    room: int = 0
    bounds: tuple[Bound, ...] = ()

    @classmethod
    def of(cls, spec: Spec) -> "Task":
        assert spec.settings.search is not None and spec.space is not None
        return cls(spec.settings.search, spec.space, spec.settings.seeds[0])

    @property
    def goal(self) -> str:
        return self.search.goal

    @property
    def batch(self) -> int:
        """Trials of a round: a budget of fewer is one round."""
        return self.room or min(self.search.batch, self.search.budget.trials or self.search.batch)

    def allows(self, point: Point) -> bool:
        """Whether what is held runs at a point, or does not, as wished."""
        on = self.space.running(point)
        return all(on.get(name, wanted) == wanted for name, wanted in self.held.items())

    def possible(self, point: Point) -> dict[str, Any] | None:
        """The point with what is held switched on or off, and no value beyond what the network allows; None where that
        leaves none."""
        switched = dict(point) | {f"{name}.{ENABLED}": wanted for name, wanted in self.held.items()}
        return within(self.space, self.bounds, switched)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        return limits.of_search(self.search)

    @property
    def allowed(self) -> float:
        """The quality (0 … 1) that may be lost; infinite where that is not limited."""
        found = limits.loss(self.limits)
        return math.inf if found is None else found

    @property
    def names(self) -> tuple[str, ...]:
        """The amounts that count: the goal's, and those that are limited."""
        goal = () if self.goal == MOST_ACCURATE else (self.goal,)
        return tuple(dict.fromkeys([*goal, *(limit.measure for limit in limits.amounts(self.limits))]))

    def outcome(self, trial: TrialState, timed_as: TrialState | None = None) -> Outcome | None:
        """What a finished trial came to; None for one that failed, or lacks what counts.

        `timed_as`: the trial whose measured times count in the place of its own.
        """
        results = trial.results
        found = quality_of(results, "validation_")
        before = quality_of(trial.baseline_measure.measures, "validation_")
        if trial.status != "done" or found is None or before is None:
            return None
        amounts = {}
        for name in self.names:
            of = timed_as if timed_as is not None and name.startswith("latency.") else trial
            value = measure_value(of.results, name)
            if value is None:
                return None
            amounts[name] = (value, baseline_value(of, name))
        images = int(trial.baseline_measure.measures.get("validation_images", 0))
        error = standard_error(trial.steps[-1].measures.get("agreement"), images)
        return Outcome(trial.index, found[1], before[1] - found[1], amounts, error or 0.0)

    def amount(self, outcome: Outcome) -> float:
        """What is to be least: the goal's measure, or the negative quality."""
        return -outcome.quality if self.goal == MOST_ACCURATE else outcome.amounts[self.goal][0]
