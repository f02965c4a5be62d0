"""A study's state as a search sees it: its candidates, and what became of each on every rung."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.results.searches import CANDIDATE
from engine.search.task import Outcome, Task
from engine.studies.state import StudyState, TrialState


@dataclass(frozen=True)
class Candidate:
    """A point of the space, with its outcome on each rung that it went to: None where it failed."""

    number: int
    point: Mapping[str, Any]
    outcomes: dict[int, Outcome | None] = field(default_factory=dict)

    @property
    def rung(self) -> int:
        """The highest one that it went to."""
        return max(self.outcomes)

    @property
    def last(self) -> Outcome | None:
        """Its outcome there."""
        return self.outcomes[self.rung]


def candidates(task: Task, state: StudyState, timed_as: StudyState | None = None) -> list[Candidate]:
    """All candidates whose trials have ended, by number.

    `timed_as`: the study whose trials' measured times count in the place of this one's, which it replays.
    """
    found: dict[int, Candidate] = {}
    for trial in state.trials:
        told = trial.proposal
        if told.get("role") != CANDIDATE or trial.status not in ("done", "failed"):
            continue
        one = found.setdefault(told["candidate"], Candidate(told["candidate"], told["point"]))
        one.outcomes[told["rung"]] = task.outcome(trial, _same(trial, timed_as))
    return [found[number] for number in sorted(found)]


def _same(trial: TrialState, other: StudyState | None) -> TrialState | None:
    if other is None or trial.index >= len(other.trials):
        return None
    return other.trials[trial.index]


def proposed(state: StudyState) -> int:
    """How many trials the rounds of the search have made so far, finalists not counted."""
    return sum(trial.proposal.get("role") == CANDIDATE for trial in state.trials)
