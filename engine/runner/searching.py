"""The engine's part in a search: it carries out round after round, and ends with the answer.

What is in a round `engine.runner.rounds` says; it is written to the log before anything of it is computed, and taken
from there by an engine that takes the study up.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from engine.presets.model import Spec
from engine.runner.executors.base import Executor
from engine.runner.rounds import Clock, Rounds, told
from engine.search.rounds import Round
from engine.studies import events as ev
from engine.studies.plan import Job, Plan, extended
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState


class Engine(Protocol):
    """What a search needs of the engine that carries its study: see `engine.runner.supervisor.Supervisor`."""

    run: RunDir
    spec: Spec
    asked: dict[str, Any]
    state: StudyState
    plan: Plan | None
    parallel: int

    def emit(self, event: ev.Event) -> None: ...

    def hand_over(self, plan: Plan) -> None: ...

    def reuse(self, plan: Plan) -> None: ...

    def work_off(self, executor: Executor, jobs: Sequence[Job]) -> None: ...


class Searching:
    """A search in progress; `begun` is the study as it was before this engine took it up."""

    def __init__(self, engine: Engine, executor: Executor, rounds: Rounds, begun: StudyState) -> None:
        self._engine, self._executor, self._rounds = engine, executor, rounds
        self._begun = begun
        # What an engine before found out is not tried again.
        engine.state.reached = engine.state.reached or begun.reached
        self._started = time.monotonic()

    def carry_out(self) -> None:
        """Every round to the last, then the choice. Raises NothingFound where there is nothing to choose."""
        number = 0
        while (found := self._next(number)) is not None:
            self._do(number, found)
            number += 1
        self._engine.emit(self._rounds.choose(self._engine.state))

    def _next(self, number: int) -> Round | None:
        """The round with this number; None after the last."""
        worked = self._begun.worked + time.monotonic() - self._started
        clock = Clock(worked, self._engine.parallel)
        return self._rounds.following(number, self._engine.state, self._begun.proposed, clock)

    def _do(self, number: int, found: Round) -> None:
        """Plan a round, tell it, and work it off."""
        engine = self._engine
        assert engine.plan is not None
        planned = self._rounds.planned(found, engine.plan)
        engine.plan = extended(engine.plan, planned)
        engine.emit(told(number, found, planned))
        engine.hand_over(engine.plan)
        engine.reuse(engine.plan)
        engine.work_off(self._executor, engine.plan.jobs)
