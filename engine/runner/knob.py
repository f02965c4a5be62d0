"""The live knob: a stored model, compressed as one asks, answered by a resident worker within a blink."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.errors import SecateurError
from engine.machine import signals
from engine.runner import launch
from engine.studies.knob import LONGEST, Answer, Baseline, Question, State, Technique
from engine.studies.rundir import RunDir

__all__ = ["Answer", "Baseline", "Knob", "Technique"]

WORKER = "engine.compute.worker.knob.process"
GONE_AFTER_S = 2.0
"""How long the worker may take to end by itself; it does so as soon as it sees its socket closed."""


class Knob:
    """The model of one trial in a worker process of its own, which ends with `close`, and never outlives its maker.

    While the state is `starting` (some seconds: torch, the model, the images) neither techniques nor the baseline are
    known; `ended` comes with a `reason`. No method but the constructor waits for anything.
    """

    def __init__(self, run: RunDir, trial: int, *, threads: int) -> None:
        """Raises SecateurError where no process can be started."""
        self.techniques: tuple[Technique, ...] = ()
        self.baseline: Baseline | None = None
        self.state: State = "starting"
        self.reason = ""
        self._asked = 0
        self._pending: bytes | None = None
        # Messages, not a stream: each is there as a whole or not at all.
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._end.setblocking(False)
        with theirs:
            self._process = self._start(run, trial, threads, theirs)

    def _start(
        self, run: RunDir, trial: int, threads: int, theirs: socket.socket
    ) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", WORKER, str(run.path), str(trial), str(threads)]
        try:
            with contextlib.ExitStack() as stack:
                log = stack.enter_context(_log(run).open("ab"))
                stack.enter_context(signals.blocked())
                return subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs.fileno(),),
                    cwd=run.path,
                    env=launch.process_environment(),
                )
        except OSError as error:
            self._end.close()
            raise SecateurError(
                "No process can be started for the knob", f"{error.strerror}.", "End other programs."
            ) from error

    @property
    def process(self) -> int:
        """The worker's process."""
        return self._process.pid

    def ask(self, technique: str, value: float) -> int:
        """Ask for the model at a value of one of the techniques; the number that its answers will have.

        The newest question is answered; of an older one no further answers come. Raises SecateurError for a technique
        that is not there, or can't be had of this model.
        """
        known = next((one for one in self.techniques if one.name == technique), None)
        if known is None and self.state == "ready":
            raise SecateurError(f"The knob has no technique {technique}", f"It has {names(self.techniques)}.")
        if known is not None and known.why_not:
            raise SecateurError(f"This model can't be compressed by {technique}", known.why_not)
        self._asked += 1
        self._pending = json.dumps(vars(Question(self._asked, technique, value))).encode()
        self._send()
        return self._asked

    def answers(self) -> list[Answer]:
        """What has come since the last call, of the newest question: the first answer soon, then finer ones."""
        self._send()
        found: list[Answer] = []
        while (message := self._receive()) is not None:
            match message.pop("what"):
                case "ready":
                    self.techniques = tuple(Technique(**one) for one in message["techniques"])
                    self.baseline = Baseline.from_dict(message["baseline"])
                    self.state = "ready"
                case "answer":
                    found.append(Answer.from_dict(message))
                case "ended":
                    self._ended(SecateurError(**message["error"]).sentence)
        return [answer for answer in found if answer.number == self._asked]

    def _send(self) -> None:
        """Hand the newest question over; where the worker's mailbox is full, that waits for the next call."""
        if self._pending is None or self.state == "ended":
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._end.send(self._pending)
            self._pending = None

    def _receive(self) -> dict[str, Any] | None:
        if self.state == "ended":
            return None
        try:
            text = self._end.recv(LONGEST)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            text = b""
        if not text:
            code = self._process.poll()
            self._ended("The knob's worker ended" + (f" (exit code {code})." if code is not None else "."))
            return None
        message: dict[str, Any] = json.loads(text)
        return message

    def _ended(self, reason: str) -> None:
        self.state, self.reason = "ended", reason

    def close(self) -> None:
        """End the worker; waits for that, a moment at most."""
        if self.state != "ended":
            self._ended("It was given back.")
        self._end.close()
        try:
            self._process.wait(GONE_AFTER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def names(techniques: tuple[Technique, ...]) -> str:
    return ", ".join(one.name for one in techniques)


def _log(run: RunDir) -> Path:
    """Where the worker's own words go: the engine's log, where this user may write it."""
    return run.log if os.access(run.path, os.W_OK) else Path(os.devnull)
