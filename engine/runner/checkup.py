"""Tries the networks and data of a study before its first step, in workers."""

import collections
from collections.abc import Callable, Sequence

from engine.errors import SecateurError, UsageError
from engine.runner.executors.base import Executor, JobEnded
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.checkup import CHECKUP
from engine.studies.plan import Job


def check_up(
    jobs: Sequence[Job],
    executor: Executor,
    store: Store,
    emit: Callable[[ev.Event], None],
    *,
    needed: bool,
    stopping: Callable[[], bool],
    poll_s: float,
    before: Callable[[], None] = lambda: None,
) -> bool:
    """Run the check-ups whose results the store does not have, then report all results; False if asked to stop.

    `needed`: False where nothing is left to compute; then nothing is run and known results alone are reported. `before`
    is called before the report, and may raise to refuse the study.

    Raises UsageError where the preset asks for something impossible, SecateurError where a worker failed otherwise.
    """
    waiting = [job for job in jobs if needed and any(store.get(node.key) is None for node in job.nodes)]
    running, tries = 0, collections.Counter[int]()
    while waiting or running:
        if stopping():
            return False
        while waiting and executor.has_room(waiting[0]):
            executor.start(waiting.pop(0))
            running += 1
        for message in executor.wait(poll_s):
            match message:
                case JobEnded():
                    running -= 1
                    if stopping():
                        return False
                    if retry := message.again(tries[message.job.number]):
                        tries[message.job.number] += 1
                        emit(ev.Notice(level="warning", text=retry.why))
                        waiting.append(message.job)
                    else:
                        _whole(message, store)
                case ev.StepFailed():
                    raise (UsageError if message.refused else SecateurError)(**message.error)
                case ev.Notice() | ev.StepWaits():
                    emit(message)
                case _:
                    pass
    before()
    emit(_event(jobs, store))
    return True


def _whole(ended: JobEnded, store: Store) -> None:
    """Raises SecateurError where a worker ended without a result and without an error."""
    if ended.problem is not None:
        raise SecateurError(**ended.problem)
    if any(store.get(node.key) is None for node in ended.job.nodes):
        raise SecateurError(
            "The check-up ended without a result",
            "Its worker said nothing.",
            "The engine's log has more. `secateur resume` tries again.",
        )


def _event(jobs: Sequence[Job], store: Store) -> ev.CheckedUp:
    nodes = [node for job in jobs for node in job.nodes if node.kind == CHECKUP]
    observed = [stored.observations for node in nodes if (stored := store.get(node.key))]
    data = {one["data"]["text"]: one["data"] for one in observed if one["data"]}
    return ev.CheckedUp(data=list(data.values()), networks=[one["network"] for one in observed])
