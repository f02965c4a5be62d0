"""The status of a study whose tasks run as jobs: derived from all their events by whoever has just done something."""

import time
from dataclasses import replace
from functools import cached_property

from engine.params.preset import Pick
from engine.runner.status import with_events
from engine.studies.rundir import RunDir
from engine.studies.state import Reader, StudyState
from engine.studies.status import Status

EVERY_S = 10.0
"""Seconds between two statuses that one task writes: the events tell everything at once, the status feeds lists."""
AGAIN = 5
"""How often it is written anew because others told something meanwhile."""


class Progress:
    """What a task knows of the whole study."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._reader = Reader(run)
        self._written = 0.0

    @cached_property
    def _rule(self) -> Pick:
        """By which the study's model is picked: settled when the study began."""
        return self._run.settings().pick

    @property
    def state(self) -> StudyState:
        return self._reader.state

    def read(self) -> StudyState:
        """The study as it is told now."""
        return self._reader.catch_up()

    def refresh(self, *, at_once: bool = False) -> None:
        """Write the status, unless that was done a moment ago.

        Two tasks may do so at the same time, and the older one last: so each looks whether something came meanwhile.
        """
        if not at_once and time.monotonic() - self._written < EVERY_S:
            return
        for _ in range(AGAIN):
            state = self.read()
            read = self._reader.signature()
            self._run.write_status(derived(self._run.stored_status(), state, self._rule))
            if self._reader.signature() == read:
                break
        self._written = time.monotonic()


def derived(before: Status, state: StudyState, rule: Pick) -> Status:
    """The status of a study by its events, with the model to take by `rule`."""
    over = state.status in ("done", "failed", "cancelled")
    # Of an attempt that a resumed study took for lost, nothing is awaited.
    at_work = [task for task in state.tasks.values() if not task.outcome and task.ended is None]
    return replace(
        with_events(before, state, rule),
        state=state.status if over else "running",
        host=", ".join(dict.fromkeys(t.host for t in at_work)) or before.host,
        at_work=len(at_work),
        heartbeat=before.heartbeat + 1,
        updated=time.time(),
        error=state.error,
        waits="" if over else state.waits,
    )
