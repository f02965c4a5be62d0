"""The measuring process's hold on a measured one: its orders, its answers, its sleep and its end."""

import contextlib
import os
import signal
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from typing import Any

from torch import Tensor

from engine.compute.latency.calls import Block
from engine.compute.latency.forks import Start
from engine.compute.latency.worker import Measurement, Operators, Outputs, Partner, Timed, serve
from engine.compute.numerics.aligned import from_array
from engine.errors import SecateurError, Unavailable
from engine.machine import procfs

STOP_S = 1.0
"""Bound on waiting for a stopped process to stand still; it takes well under a millisecond."""
END_S = 5.0
"""Bound on waiting for a process to end by itself, once its pipe is closed."""


@contextlib.contextmanager
def measured(job: Measurement, start: Start) -> Iterator["Measured"]:
    """A process that loads and runs `job`; it is gone at the end, whatever happened."""
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = start(serve, (job, theirs))
        try:
            yield Measured(job, process, ours)
        finally:
            ours.close()
            _end(process)


def _end(process: BaseProcess) -> None:
    _signal(process, signal.SIGCONT)
    process.join(END_S)
    if process.exitcode is None:
        process.kill()
        process.join()


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


class Measured:
    """The measuring process's hold on one measured process."""

    def __init__(self, job: Measurement, process: BaseProcess, pipe: Any) -> None:
        self._job = job
        self._process = process
        self._pipe = pipe
        self.peak_memory = 0
        self.uncounted: list[int] = []
        """Nanoseconds of the first call, with all that comes before it, and of the calls until the first counted."""
        self.on_gpu: list[int] = []
        """Nanoseconds of all counted calls by the GPU's own clock, where it tells."""
        self._counted = False

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def order(self, order: Partner | Block | Operators | Outputs) -> None:
        try:
            self._pipe.send(order)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._ended() from error

    def answer(self) -> list[int]:
        """Nanoseconds of the calls that the last order counted."""
        answer: Timed = self._received()
        self.peak_memory = answer.peak_memory
        self.on_gpu += answer.on_gpu
        if not self._counted:
            self.uncounted += answer.uncounted
        self._counted = self._counted or bool(answer.calls)
        return answer.calls

    def _received(self) -> Any:
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended() from error
        if isinstance(answer, Unavailable):
            raise answer
        if isinstance(answer, SecateurError):
            raise self._failed(f"{answer.title}: {answer.detail}", answer.remedy)
        return answer

    def float_operators(self) -> dict[str, int]:
        """Operators that the runtime computes in float; the process is not timed any more."""
        self.wake()
        self.order(Operators())
        counts: dict[str, int] = self._received()
        return counts

    def outputs(self, images: Tensor) -> Tensor:
        """What the model gives for `images`; the process is not timed any more."""
        self.wake()
        self.order(Outputs(images))
        return from_array(self._received())

    def timed(self, block: Block) -> list[int]:
        self.order(block)
        return self.answer()

    def wake(self) -> None:
        _signal(self._process, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process, threads that spin included, and wait until it stands still."""
        _signal(self._process, signal.SIGSTOP)
        if not procfs.wait_stopped(self.pid, STOP_S):
            raise self._failed("Its process did not stand still while the other side was measured.")

    def _ended(self) -> SecateurError:
        self._process.join(END_S)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return self._failed(
                "Its process was killed, most often because memory ran out.", "Try a smaller batch."
            )
        if code is not None and code < 0:
            return self._failed(f"Its process crashed ({signal.Signals(-code).name}).")
        return self._failed(f"Its process ended (exit code {code}).")

    def _failed(self, detail: str, remedy: str = "") -> SecateurError:
        job = self._job
        return SecateurError(f"No latency in {job.runtime} at batch {job.batch}", detail, remedy)
