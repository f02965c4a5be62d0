"""A search on a cluster: the task after each round plans the next one, sends it, and ends.

It is sent together with the round that it waits for. Nothing of it has to live on: killed, it is started again or
`secateur resume` sends it anew, and a round that was told stays as it is.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol, TypeVar

from engine.errors import SecateurError
from engine.presets.model import Spec
from engine.runner.executors import slurm
from engine.runner.rounds import Clock, Rounds, Written, told
from engine.runner.share import Share
from engine.search.task import Task as Asked
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.log import EventLog
from engine.studies.plan import Node, Plan, joined
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState
from engine.studies.tasks import Stage, Tasks

APPEARS_WITHIN_S = 120.0
"""How long another node's word may take to be seen here, on a slow file system. A dead claim is believed shorter."""
LOOK_EVERY_S = 1.0
T = TypeVar("T")


class NotSent(SecateurError):
    """Slurm took no job from the node of the task that plans."""


class Planner(Protocol):
    """The task that plans: see `engine.runner.task.Task`."""

    run: RunDir
    spec: Spec
    store: Store
    tasks: Tasks
    stage: Stage
    log: EventLog

    @property
    def stopping(self) -> bool:
        """Whether it is to end."""

    def emit(self, event: ev.Event) -> None:
        """Tell an event."""

    def hand_over(self, plan: Plan) -> None:
        """Of a replay: put the times that its original measured where steps look for them."""

    def reuse(self, node: Node) -> None:
        """Tell of a result that is in the store."""

    def state(self) -> StudyState:
        """The study as all its tasks have told it."""


def stage_of(run: RunDir, tasks: Tasks, name: str) -> tuple[Tasks, Stage]:
    """A task's stage, with the deal that it is in: of a search, the newest, which may take a while to be seen.

    Raises SecateurError where there is none of that name: it was of an earlier deal.
    """

    def found() -> tuple[Tasks, Stage] | None:
        now = Tasks.read(run) or tasks
        stage = now.stage(name)
        return (now, stage) if stage is not None else None

    return _patiently(found, f"The stage {name} is none of those that were sent last")


def told_before(state: Callable[[], StudyState], number: int) -> Written:
    """The rounds before the one with this number, as they were told. Raises SecateurError where one is missing."""

    def found() -> dict[int, ev.Proposed] | None:
        rounds = {n: one for n, one in state().proposed.items() if n < number}
        return rounds if len(rounds) == number else None

    return _patiently(found, f"The rounds before round {number} are not all told")


def _patiently(look: Callable[[], T | None], problem: str) -> T:
    end = time.monotonic() + APPEARS_WITHIN_S
    while (found := look()) is None:
        if time.monotonic() > end:
            raise SecateurError(
                problem,
                f"They were looked for for {APPEARS_WITHIN_S:.0f} s.",
                "`secateur resume` sends what is missing.",
            )
        time.sleep(LOOK_EVERY_S)
    return found


def only_plans(stage: Stage, state: StudyState) -> bool:
    """Whether the stage's task plans, and the tasks before it have left nothing to be computed."""
    return stage.plans is not None and not stage.jobs and _is_whole(state, stage.plans)


def _is_whole(state: StudyState, number: int) -> bool:
    """Whether the baseline, and all trials of the rounds before this one, have ended."""
    before = 1 + sum(len(one.trials) for n, one in state.proposed.items() if n < number)
    ended = [_has_ended(trial) for trial in state.trials[:before]]
    return len(ended) == before and all(ended)


def _has_ended(trial: TrialState) -> bool:
    """Whether nothing of it is awaited any more, nor of what is found out of its model."""
    beside = all(step.status == "done" for step in trial.beside)
    return trial.status == "failed" or (trial.status == "done" and beside)


def go_on(task: Planner, rounds: Rounds, plan: Plan, number: int, share: Share) -> None:
    """Plan the round with this number and send it; one whose results are all stored is followed by the next one at
    once. After the last, choose. A task that has dealt a round before it was started again sends what is missing of it
    and plans nothing: the task that it has sent may be planning already.

    `share` does the jobs that were lost with their tasks.
    """
    if task.tasks.sender is not None and task.tasks.sender.name == task.stage.name:
        dealt = task.tasks.rounds(task.tasks.stages[-1])
        _sending(task, dealt - 1, partial(slurm.send_rest, task.run, task.stage))
        return
    while share.complete(plan.jobs):
        state = _whole(task, share, number)
        if state.trials[0].status == "failed":
            return
        found = rounds.following(number, state, state.proposed, _clock(task, state))
        if found is None:
            task.emit(rounds.choose(state))
            return
        planned = rounds.planned(found, plan)
        if number not in state.proposed:
            task.emit(told(number, found, planned))
        known, plan = plan.nodes, joined(plan, planned)
        task.hand_over(plan)
        for key, node in plan.nodes.items():
            if key not in known:
                task.reuse(node)
        done = slurm.settled(plan, task.store, lambda key: task.run.failure(key).exists())
        if len(done) < len(plan.jobs):
            task.log.flush()  # tasks on other nodes look for the round as soon as they are sent
            send = partial(slurm.send_round, task.run, plan, number + 1, task.store, task.stage)
            _sending(task, number, send)
            return
        number += 1


def _whole(task: Planner, share: Share, number: int) -> StudyState:
    """The study when all before the round has ended: what follows from it has to follow from all of it."""

    def found() -> StudyState | None:
        now = task.state()
        if _is_whole(now, number):
            return now
        share.tell_untold()  # of results whose makers were killed before a word, once their claims are seen to be dead
        return None

    return _patiently(found, "The results of the round before are not all told")


def _clock(task: Planner, state: StudyState) -> Clock:
    """The time in which any task of the study worked: waiting in the queue costs none of the budget."""
    spans = sorted((one.started, one.ended or time.time()) for one in state.tasks.values())
    worked, until = 0.0, 0.0
    for start, end in spans:
        worked += max(0.0, end - max(start, until))
        until = max(until, end)
    return Clock(worked, task.tasks.asked.parallel or Asked.of(task.spec).batch)


def _sending(task: Planner, number: int, send: Callable[[], None]) -> None:
    """Send the round with this number."""
    try:
        send()
    except SecateurError as error:
        raise NotSent(
            f"Round {number} of the search could not be sent from its node",
            error.sentence,
            f"`secateur resume {task.run.name}`, where jobs may be submitted, sends it and goes on.",
        ) from error


def tell_again(task: Planner, number: int) -> None:
    """Tell the rounds before this one once more: after a plan, which has the baseline alone."""
    written = told_before(task.state, number)
    for one in sorted(written):
        task.emit(replace(written[one], time=time.time()))


def outcome(state: StudyState, *, of_search: bool) -> Literal["done", "failed"] | None:
    """How the study ends; None while some trial has not ended, or a search has not chosen.

    A search's candidates may fail; it fails with its baseline.
    """
    if not state.trials or any(trial.status not in ("done", "failed") for trial in state.trials):
        return None
    if not of_search:
        return "failed" if state.failed else "done"
    if state.trials[0].status == "failed":
        return "failed"
    return "done" if state.chosen is not None else None
