"""The engine's part in a search: it plans round after round, and ends with the answer.

What is in a round `engine.search.rounds` says; it is written to the log before anything of it is computed, and taken
from there by an engine that takes the study up. What each trial is, the preset at its point says.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from engine.errors import PresetInvalid
from engine.machine.value import Machine
from engine.presets.model import Spec, Trial
from engine.presets.spec import candidate, plain, proposed
from engine.results.searches import CANDIDATE, UNCOMPRESSED, searched
from engine.runner.executors.base import Executor
from engine.search import choice, history, reach, rounds
from engine.search.rounds import Entry, Round
from engine.search.task import Task
from engine.sources import Sources
from engine.store.files import write_atomic
from engine.studies import checkup
from engine.studies import events as ev
from engine.studies.plan import Job, Plan, PlannedTrial, data_id, extended, make, plan_trial
from engine.studies.rundir import RunDir
from engine.studies.settings import rule
from engine.studies.state import StudyState, load

EPOCHS = "epochs"


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

    def __init__(
        self, engine: Engine, executor: Executor, on: Machine, code: Sources, begun: StudyState
    ) -> None:
        self._engine, self._executor = engine, executor
        self._on, self._code = on, code
        self._task = Task.of(engine.spec)
        self._begun = begun
        original = engine.asked.get("replay_of")
        self._original = load(engine.run.beside(original).path) if original else None
        self._started = time.monotonic()

    def carry_out(self) -> str:
        """Every round to the last, then the choice; the study's outcome."""
        number = 0
        while (found := self._next(number)) is not None:
            self._do(number, found)
            number += 1
        state = self._engine.state
        chosen = choice.choose(self._task, state, rule(self._engine.spec.settings))
        if chosen.trial is not None:
            write_atomic(self._engine.run.answer, self._answer(chosen.trial))
        self._engine.emit(chosen)
        return "done" if chosen.trial is not None else "failed"

    def _next(self, number: int) -> Round | None:
        """The round with this number: as it was written, or as it follows from those before; None after the last."""
        if (written := self._begun.proposed.get(number)) is not None:
            return Round(
                written.purpose, tuple(Entry.from_dict(trial["proposal"]) for trial in written.trials)
            )
        known = history.candidates(self._task, self._engine.state, self._original)
        if self._original is not None:
            return self._as_original(number, known)
        # Rounds that confirmed, before the budget was made larger, count for nothing in the number.
        is_over, made = self._is_over(known), searched(self._engine.state)
        if not is_over and (found := rounds.search(self._task, known, made)) is not None:
            return found
        last = self._engine.state.proposed.get(number - 1)
        if last is not None and last.purpose == "confirm":
            return None
        return rounds.confirm(self._task, known, self._seeds(known))

    def _as_original(self, number: int, known: Sequence[history.Candidate]) -> Round | None:
        """A replay has as many rounds as its original, and each follows anew from those before."""
        assert self._original is not None
        written = self._original.proposed.get(number)
        if written is None:
            return None
        if written.purpose == "confirm":
            seeds = len({trial["proposal"]["seed"] for trial in written.trials})
            return rounds.confirm(self._task, known, seeds)
        return rounds.search(self._task, known, searched(self._engine.state))

    def _is_over(self, known: Sequence[history.Candidate]) -> bool:
        """Whether the budget has no room for another round; the first one always has it."""
        if not known:
            return False
        budget, made = self._task.search.budget, history.proposed(self._engine.state)
        if budget.trials is not None and made + self._task.batch > budget.trials:
            return True
        return (
            budget.hours is not None
            and self._worked() + self._ending(self._task.search.seeds) > 3600 * budget.hours
        )

    def _seeds(self, known: Sequence[history.Candidate]) -> int:
        """On how many seeds finalists are trained: all that were asked for, unless time does not allow it."""
        budget, wanted = self._task.search.budget, self._task.search.seeds
        if budget.hours is None:
            return wanted
        left = 3600 * budget.hours - self._worked()
        return next((seeds for seeds in range(wanted, 1, -1) if self._ending(seeds) <= left), 1)

    def _worked(self) -> float:
        """Seconds that all engines of this study have taken so far."""
        return self._begun.worked + time.monotonic() - self._started

    def _ending(self, seeds: int) -> float:
        """About how many seconds the confirmation on so many seeds takes, by what trials have taken."""
        finished = [t for t in self._engine.state.trials if t.status == "done" and t.proposal]
        if not finished:
            return 0.0
        whole = max(sum(step.seconds or 0.0 for step in trial.chain) for trial in finished)
        trials = (self._task.search.finalists + 1) * max(seeds - 1, 0) + 1
        return whole * trials / self._engine.parallel

    def _do(self, number: int, found: Round) -> None:
        """Plan a round, tell it, and work it off."""
        engine = self._engine
        assert engine.plan is not None
        first = len(engine.plan.trials)
        trials = [self._trial(first + at, entry) for at, entry in enumerate(found.entries)]
        fingerprint = engine.plan.trials[0].fingerprint
        planned = [plan_trial(trial, fingerprint, self._on, self._code) for trial in trials]
        each = [
            self._timed_once(one, entry, engine.plan)
            for one, entry in zip(planned, found.entries, strict=True)
        ]
        engine.plan = extended(engine.plan, tuple(each))
        told = [
            one.as_dict() | {"proposal": entry.as_dict()}
            for one, entry in zip(each, found.entries, strict=True)
        ]
        engine.emit(ev.Proposed(round=number, purpose=found.purpose, trials=told))
        engine.hand_over(engine.plan)
        engine.reuse(engine.plan)
        engine.work_off(self._executor, engine.plan.jobs)

    def _trial(self, index: int, entry: Entry) -> Trial:
        made = proposed(self._engine.spec, entry.as_dict())
        return replace(
            made, index=index, parameters=self._told(entry), validation_only=entry.role == CANDIDATE
        )

    def _told(self, entry: Entry) -> dict[str, object]:
        """What tables tell the trial by: its point, how long it is trained, and as what."""
        space = self._task.space
        values: dict[str, object] = dict(entry.point) if entry.point is not None else {"model": UNCOMPRESSED}
        if space.training is not None:
            values[f"{space.names[space.training]}.{EPOCHS}"] = space.rungs[entry.rung]
        return values if entry.role == CANDIDATE else values | {"seed": entry.seed}

    def _timed_once(self, planned: PlannedTrial, entry: Entry, plan: Plan) -> PlannedTrial:
        """A candidate that goes on has the layers that it had: its latency is the one measured before."""
        if entry.role != CANDIDATE or not entry.rung or planned.latency is None:
            return planned
        for known in self._engine.state.trials:
            told = known.proposal
            if (
                told.get("candidate") == entry.candidate
                and told.get("role") == CANDIDATE
                and told["rung"] == 0
            ):
                return replace(planned, latency=plan.trials[known.index].latency)
        return planned

    def _answer(self, index: int) -> str:
        """The chosen trial as a preset without a search."""
        proposal = self._engine.state.trials[index].proposal
        return plain(self._engine.spec, proposal, f"The answer of {self._engine.run.name}")


def tried(engine: Engine, plan: Plan, on: Machine, code: Sources, begun: StudyState) -> tuple[Job, ...]:
    """What is tried before anything is trained: the baseline, a candidate in which everything runs, and (of a search
    that has not begun) how far the techniques go."""
    spec = engine.spec
    assert spec.space is not None
    point = {
        one.path: True if one.switch and True in one.values else one.between(0.5)
        for one in spec.space.dimensions
    }
    try:
        steps = candidate(spec, point, 0).trials[0].steps
        trial = replace(spec.trials[0], steps=steps)
        probe = make(replace(spec, trials=(trial,)), {data_id(trial): plan.trials[0].fingerprint}, on, code)
        both = replace(plan, trials=(*plan.trials, *probe.trials))
    except PresetInvalid:
        # Not all of it together: the values were checked one by one when the preset was read.
        both = plan
    looks = checkup.jobs(both, on, code)
    return (
        looks
        if begun.proposed or engine.asked.get("replay_of")
        else (*looks, reach.job(spec, plan, on, code))
    )


def reached(engine: Engine, jobs: Sequence[Job]) -> None:
    """Tell how far the techniques go. Raises UsageError where a limit is out of their reach."""
    store, task = engine.run.store(), Task.of(engine.spec)
    for node in [node for job in jobs for node in job.nodes if node.kind == checkup.REACH]:
        stored = store.get(node.key)
        if stored is not None:
            rows = stored.observations["rows"]
            engine.emit(ev.Reached(rows=rows, lines=reach.lines(task, rows)))
            reach.check(task, rows)
