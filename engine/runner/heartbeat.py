"""Keeps `status.json` fresh and moves the lease's counter from a thread of its own, so that a busy engine still shows
that it is alive."""

import sys
import threading
import time
from dataclasses import replace

from engine.errors import SecateurError
from engine.presets.spec import Spec
from engine.runner.status import of_preset, with_events
from engine.studies.lease import Lease, Superseded
from engine.studies.rundir import RunDir
from engine.studies.settings import rule
from engine.studies.state import StudyState


class Heartbeat:
    """Writes the study's status every few seconds and at every result."""

    def __init__(self, run: RunDir, spec: Spec, lease: Lease, every: float, replay_of: str | None) -> None:
        self._run, self._rule = run, rule(spec.settings)
        self._lease = lease
        self._every = every
        before, ours = run.stored_status(), of_preset("running", spec, replay_of)
        created = before.created or ours.created
        self._status = replace(ours, heartbeat=before.heartbeat, created=created, expected=before.expected)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self, state: StudyState) -> None:
        self.note(state)
        self._thread.start()

    def note(self, state: StudyState) -> None:
        """Take over the counts of `state` and write at once."""
        with self._lock:
            self._status = with_events(self._status, state, self._rule)
            self._write()

    def waits(self, what: str) -> None:
        """Tell what the engine waits for before it goes on, or ends; empty once it no longer does."""
        with self._lock:
            self._status = replace(self._status, waits=what)
            self._write()

    def queued(self, what: str) -> None:
        """Tell that the study waits for its turn, and after whom; empty once that has come."""
        with self._lock:
            before = self._status
            self._status = replace(before, state="queued" if what else "running", waits=what)
            if self._status != before:
                self._write()

    def finish(self, state: StudyState) -> None:
        """Write the final status, stop beating, and give the study back."""
        self.close()
        with self._lock:
            self._status = replace(self._status, state=state.status, error=state.error, waits="")
        try:
            self.note(state)
        finally:
            self._lease.release()

    def close(self) -> None:
        """Stop beating, whatever came."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._every):
            try:
                self._lease.beat()
                with self._lock:
                    self._write()
            except Superseded:  # the engine finds it out itself, at the latest with its next word
                return
            except (SecateurError, OSError) as error:
                # The engine itself meets the same trouble at its next event.
                print(f"heartbeat: {error}", file=sys.stderr)

    def _write(self) -> None:
        self._lease.check()
        self._status = replace(self._status, heartbeat=self._status.heartbeat + 1, updated=time.time())
        try:
            self._run.write_status(self._status, within=self._lease.folder)
        except SecateurError:
            self._lease.check()  # where the lease was lost at this moment, that is why
            raise
