"""The wish that a study's engine should stop, from a file or a signal, and work that can be left when it comes."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.machine import signals
from engine.runner.executors.base import Executor, JobEnded
from engine.studies import events as ev
from engine.studies.plan import Job

T = TypeVar("T")

KEEP_WITHIN_S = 20.0
"""How long workers that were asked to stop may take to keep what they have. Slurm kills 30 s after its SIGTERM."""
TELL_AFTER_S = 2.0
"""After how long it is told what is waited for."""
LOOK_EVERY_S = 0.2
"""Seconds between two looks for the wish while something is waited for."""


class Stop(BaseException):
    """The study is to stop now. No error: nothing on the way may take it for one."""


class StopRequest:
    """Whether the study is to stop: a signal came, or a `stop` file lies in its folder.

    Attributes:
        signal: The first signal that came, by number; 0 if none did.
        reason: What it meant, as an error's title, detail and remedy; None where the file asks (`secateur cancel`).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.signal = 0
        self.reason: dict[str, str] | None = None
        signals.block()
        signals.handle(self._take)  # for the moments in which a library lets them through
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def _listen(self) -> None:
        while True:
            self._take(*signals.wait())

    def _take(self, number: int, meaning: dict[str, str]) -> None:
        if not self.signal:
            self.reason = meaning
            self.signal = number

    def __bool__(self) -> bool:
        return bool(self.signal) or self._file.exists()

    def check(self) -> None:
        """Raises Stop if the study is to stop."""
        if self:
            raise Stop

    def leave(self, work: Callable[[], T], last: Callable[[], None] = lambda: None) -> T:
        """The result of `work`, done in a thread that is left alone when the study is to stop: it may hang in a read.

        Raises Stop then, after a call of `last`, and what `work` raises.
        """
        done: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(LOOK_EVERY_S)
            if thread.is_alive() and self:
                last()
                raise Stop
        if failed:
            raise failed[0]
        return done[0]


def wind_down(
    executor: Executor,
    running: dict[int, Job],
    emit: Callable[[ev.Event], None],
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Have the workers of the `running` jobs keep what they have and end; `emit` gets what they still say, but that a
    step failed: that may be for the same reason.

    `tell` is called once if that takes a while. What has not ended after `KEEP_WITHIN_S` is left to `executor.stop`.
    """
    executor.ask()
    started = time.monotonic()
    announced = False
    while running and (waited := time.monotonic() - started) < KEEP_WITHIN_S:
        if waited > TELL_AFTER_S and not announced:
            tell()
            announced = True
        for message in executor.wait(LOOK_EVERY_S):
            if isinstance(message, JobEnded):
                running.pop(message.job.number, None)
            elif not isinstance(message, ev.StepFailed):
                emit(message)
