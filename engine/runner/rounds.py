"""A search's rounds as trials with keys: what is in each, what is told of it, and the end.

Which round follows `engine.search.rounds` says, from what the rounds before came to; a round that was told stays as it
is. Whoever carries a search asks here: the engine (`engine.runner.searching`), or a task of a cluster
(`engine.runner.planning`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from engine.errors import PresetInvalid
from engine.machine.value import Machine
from engine.presets.model import Spec, Trial
from engine.presets.spec import candidate, plain, proposed
from engine.results import estimates
from engine.results.searches import CANDIDATE, UNCOMPRESSED, searched
from engine.results.sensitivity import of_trial
from engine.search import choice, held, history, reach, rounds
from engine.search.bounds import Bound, clipped
from engine.search.proposals import Table
from engine.search.rounds import Entry, Round
from engine.search.task import Task
from engine.sources import Sources
from engine.store.files import write_atomic
from engine.studies import checkup
from engine.studies import events as ev
from engine.studies.plan import Job, Plan, PlannedTrial, data_id, joined, make, plan_trial
from engine.studies.rundir import RunDir
from engine.studies.settings import rule
from engine.studies.state import StudyState, load

EPOCHS = "epochs"
Written = Mapping[int, ev.Proposed]
"""The rounds that were told, by number."""


@dataclass(frozen=True)
class Clock:
    """What a budget in hours is held against: seconds that the search has taken, and trials carried out at a time."""

    worked: float
    parallel: int


@dataclass
class Rounds:
    """The rounds of a study's search, planned for the machine `on`; of a replay, as `original` had them."""

    run: RunDir
    spec: Spec
    on: Machine
    code: Sources
    original: StudyState | None = None
    _timed: dict[int, PlannedTrial] = field(default_factory=dict)
    """Of each candidate its first trial."""
    _tables: tuple[dict[str, dict[str, Any]], list[Table]] = field(default_factory=lambda: ({}, []))
    """What sensitivity steps of the baseline measured, and the tables made of it."""

    @classmethod
    def of(cls, run: RunDir, spec: Spec, on: Machine, code: Sources) -> "Rounds":
        original = run.asked().get("replay_of")
        return cls(run, spec, on, code, load(run.beside(original).path) if original else None)

    @cached_property
    def task(self) -> Task:
        return Task.of(self.spec)

    def following(self, number: int, state: StudyState, written: Written, clock: Clock) -> Round | None:
        """The round with this number: as it was told, or as it follows from those before; None after the last."""
        if (told := written.get(number)) is not None:
            return entries_of(told)
        known = history.candidates(self.task, state, self.original)
        if self.original is not None:
            return self._as_original(number, known, state)
        task = self._asked(state, held.wished(self.run, self.task.space))
        # Rounds that confirmed, before the budget was made larger, count for nothing in the number.
        is_over, made = self._is_over(known, state, clock), searched(state)
        if not is_over and (found := rounds.search(task, known, made, self._measured(state))) is not None:
            return found
        last = state.proposed.get(number - 1)
        if last is not None and last.purpose == "confirm":
            return None
        return rounds.confirm(task, known, self._seeds(state, clock), self._answer(state))

    def _as_original(
        self, number: int, known: Sequence[history.Candidate], state: StudyState
    ) -> Round | None:
        """A replay has as many rounds as its original, and each follows anew from those before."""
        assert self.original is not None
        told = self.original.proposed.get(number)
        if told is None:
            return None
        task = self._asked(self.original, told.held, told.room)
        if told.purpose == "confirm":
            seeds = len({trial["proposal"]["seed"] for trial in told.trials})
            return rounds.confirm(task, known, seeds, self._answer(state))
        return rounds.search(task, known, searched(state), self._measured(state))

    def _asked(self, state: StudyState, held_: Mapping[str, bool], room: int = 0) -> Task:
        """What a round is to be planned by; `state` tells how far the network lets techniques go."""
        bounds = tuple(map(Bound.from_dict, state.reached.bounds if state.reached is not None else ()))
        return replace(
            self.task, space=clipped(self.task.space, bounds), bounds=bounds, held=held_, room=room
        )

    def _is_over(self, known: Sequence[history.Candidate], state: StudyState, clock: Clock) -> bool:
        """Whether the budget has no room for another round; the first one always has it."""
        if not known:
            return False
        budget, made = self.task.search.budget, history.proposed(state)
        if budget.trials is not None and made + self.task.batch > budget.trials:
            return True
        ending = self._ending(self.task.search.seeds, state, clock)
        return budget.hours is not None and clock.worked + ending > 3600 * budget.hours

    def _seeds(self, state: StudyState, clock: Clock) -> int:
        """On how many seeds finalists are trained: all that were asked for, unless time does not allow it."""
        budget, wanted = self.task.search.budget, self.task.search.seeds
        if budget.hours is None:
            return wanted
        left = 3600 * budget.hours - clock.worked
        return next((n for n in range(wanted, 1, -1) if self._ending(n, state, clock) <= left), 1)

    def _ending(self, seeds: int, state: StudyState, clock: Clock) -> float:
        """About how many seconds the confirmation on so many seeds takes, by what trials have taken."""
        finished = [t for t in state.trials if t.status == "done" and t.proposal]
        if not finished:
            return 0.0
        whole = max(sum(step.seconds or 0.0 for step in trial.chain) for trial in finished)
        finalists = self.task.search.finalists + (self._answer(state) is not None)
        trials = (finalists + 1) * max(seeds - 1, 0) + 1
        return whole * trials / clock.parallel

    def whole(self, plan: Plan, written: Written) -> Plan:
        """The plan of the search so far: that of its baseline, and all rounds that were told."""
        for number in sorted(written):
            plan = replace(plan, trials=(*plan.trials, *self.planned(entries_of(written[number]), plan)))
        return joined(plan, ())

    def planned(self, found: Round, plan: Plan) -> tuple[PlannedTrial, ...]:
        """The trials of a round, which come after those of `plan`."""
        first, fingerprint = len(plan.trials), plan.trials[0].fingerprint
        trials = [self._trial(first + at, entry) for at, entry in enumerate(found.entries)]
        each = [plan_trial(trial, fingerprint, self.on, self.code) for trial in trials]
        return tuple(self._timed_once(one, entry) for one, entry in zip(each, found.entries, strict=True))

    def _trial(self, index: int, entry: Entry) -> Trial:
        made = proposed(self.spec, entry.as_dict())
        return replace(
            made,
            index=index,
            parameters=self._told(entry),
            validation_only=entry.role == CANDIDATE,
            base=len(self.spec.trials[0].steps),
        )

    def _told(self, entry: Entry) -> dict[str, object]:
        """What tables tell the trial by: its point, how long it is trained, and as what."""
        space = self.task.space
        values: dict[str, object] = dict(entry.point) if entry.point is not None else {"model": UNCOMPRESSED}
        if space.training is not None:
            values[f"{space.names[space.training]}.{EPOCHS}"] = space.rungs[entry.rung]
        return values if entry.role == CANDIDATE else values | {"seed": entry.seed}

    def _timed_once(self, planned: PlannedTrial, entry: Entry) -> PlannedTrial:
        """A candidate that goes on has the layers that it had: its latency is the one measured before."""
        if entry.role != CANDIDATE or entry.candidate is None:
            return planned
        first = self._timed.setdefault(entry.candidate, planned)
        return planned if first is planned else replace(planned, latency=first.latency)

    def _measured(self, state: StudyState) -> list[Table]:
        """Of the baseline's sensitivity steps: so no proposal depends on anything but results of the study."""
        scanned = of_trial(state.trials[0])
        if scanned != self._tables[0]:
            self._tables = scanned, [Table(one) for one in scanned.values()]
        return self._tables[1]

    def _answer(self, state: StudyState) -> int | None:
        """The candidate that the last confirmation, before the budget was made larger, found the best; None without."""
        try:
            chosen = self._choice(state)
        except choice.NothingFound:
            return None
        number: int = state.trials[chosen.trial].proposal["candidate"]
        return number

    def _choice(self, state: StudyState) -> ev.Chosen:
        return choice.choose(self.task, state, rule(self.spec.settings))

    def choose(self, state: StudyState) -> ev.Chosen:
        """The choice among the finalists; the one that is taken becomes the study's answer. Raises NothingFound where
        there is none."""
        chosen = self._choice(state)
        proposal = state.trials[chosen.trial].proposal
        write_atomic(self.run.answer, plain(self.spec, proposal, f"The answer of {self.run.name}"))
        return chosen


def entries_of(told: ev.Proposed) -> Round:
    """A round as it was told."""
    entries = tuple(Entry.from_dict(trial["proposal"]) for trial in told.trials)
    return Round(told.purpose, entries, told.held, told.room)


def told(number: int, found: Round, planned: Sequence[PlannedTrial]) -> ev.Proposed:
    """The event that tells a round."""
    trials = [
        one.as_dict() | {"proposal": entry.as_dict()}
        for one, entry in zip(planned, found.entries, strict=True)
    ]
    return ev.Proposed(
        round=number, purpose=found.purpose, trials=trials, held=dict(found.held), room=found.room
    )


def tried(spec: Spec, plan: Plan, on: Machine, code: Sources, *, begun: bool) -> tuple[Job, ...]:
    """What is tried before anything is trained: the baseline, a candidate in which everything runs, and (of a search
    that has not `begun`) how far the techniques go."""
    assert spec.space is not None
    first = replace(plan, trials=plan.trials[:1])
    try:
        steps = candidate(spec, spec.space.first(), 0).trials[0].steps
        trial = replace(spec.trials[0], steps=steps)
        probe = make(replace(spec, trials=(trial,)), {data_id(trial): first.trials[0].fingerprint}, on, code)
        both = replace(first, trials=(*first.trials, *probe.trials))
    except PresetInvalid:
        # Not all of it together: the values were checked one by one when the preset was read.
        both = first
    looks = checkup.jobs(both, on, code)
    return looks if begun else (*looks, reach.job(spec, first, on, code))


def tell_reach(
    spec: Spec, run: RunDir, on: Machine, jobs: Sequence[Job], emit: Callable[[ev.Event], None]
) -> None:
    """Tell how far the techniques go, and what the search may take; nothing where nobody has tried.

    Raises UsageError where a limit is out of their reach.
    """
    store = run.store()
    for node in [node for job in jobs for node in job.nodes if node.kind == checkup.REACH]:
        stored = store.get(node.key)
        if stored is not None:
            task, rows, told = Task.of(spec), stored.observations["rows"], stored.observations["bounds"]
            bounds = list(map(Bound.from_dict, told))
            time = estimates.of_search_in_words(spec, run.workspace, on)
            emit(ev.Reached(rows=rows, lines=[*reach.lines(task, rows, bounds), time], bounds=told))
            reach.check(task, rows, bounds)
