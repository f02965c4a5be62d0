"""Taking a trial's model away from within the lab: a process of its own writes it, and ends with the lab."""

import asyncio
import json
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from engine.errors import SecateurError
from engine.runner import launch
from engine.store.paths import expanded

COMMAND = "import sys; from engine.cli.main import main; sys.exit(main())"
"""Not ``-m``: that would look for our package in the user's folder first."""
LONGEST_LINE = 1 << 20
ENDS_WITHIN_S = 5.0
"""How long it may take to clean up after itself when the lab is left."""


@dataclass(frozen=True)
class Wish:
    """What is to be written, and where: `folder` as typed. `formats` are those that the trial can have."""

    workspace: Path
    study: str
    trial: int
    formats: tuple[str, ...]
    format: str
    folder: str
    force: bool = False

    def words(self) -> list[str]:
        """The command line after `secateur`."""
        options = ["--trial", str(self.trial), "--format", self.format, "--workspace", str(self.workspace)]
        force = ["--force"] if self.force else []
        return ["export", "--json-lines", *options, *force, "--", self.study, str(self.path)]

    @property
    def path(self) -> Path:
        """The folder, with `~` read as a shell does. Raises UsageError where there is no such user."""
        return expanded(self.folder)


@dataclass
class ModelExport:
    """One export from its start to its end.

    Attributes:
        wish: What is written.
        progress_lines: What it said it was doing, in order.
        done: What it says of its result, its `folder` among it; None until there is one.
        error: Why it failed.
        running: Whether its process lives, or is about to.
        changed: Called when anything of this has changed.
    """

    wish: Wish
    progress_lines: list[str] = field(default_factory=list)
    done: dict[str, Any] | None = None
    error: SecateurError | None = None
    running: bool = True
    changed: Callable[[], None] = lambda: None
    _process: Process | None = None
    _cancelled: bool = False

    @property
    def outcome(self) -> str:
        """How it ended, as a sentence; empty while it runs."""
        if self.running:
            return ""
        if self.done is not None:
            return f"The model is in {self.done['folder']}"
        return "Cancelled" if self.error is None else f"Failed: {self.error.title}"

    async def run(self) -> None:
        """Start the process and follow it to its end."""
        try:
            with tempfile.TemporaryFile() as stderr:
                code = await self._follow(stderr)
                if self.done is None and self.error is None and not self._cancelled:
                    self.error = _crashed(code, stderr)
        except SecateurError as error:
            self.error = error
        except OSError as error:
            self.error = SecateurError("The export could not be started", str(error))
        finally:
            self.running = False
            self.changed()

    async def _follow(self, stderr: IO[bytes]) -> int:
        process = self._process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-P", "-c", COMMAND, *self.wish.words()],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=stderr,
            start_new_session=True,
            limit=LONGEST_LINE,
            env=launch.process_environment(),
        )
        if self._cancelled:
            self._interrupt()
        assert process.stdout is not None
        async for line in process.stdout:
            self._take(line)
            self.changed()
        return await process.wait()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:  # a library that prints
            return
        if "doing" in message:
            self.progress_lines.append(message["doing"])
        elif "error" in message:
            self.error = SecateurError(**message["error"])
        else:
            self.done = message

    def cancel(self) -> None:
        """Ask it to stop; it removes what it has begun to write."""
        self._cancelled = True
        self._interrupt()

    def _interrupt(self) -> None:
        with suppress(ProcessLookupError):
            if self._process is not None and self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)

    async def end(self) -> None:
        """Cancel it and wait until it is gone."""
        self.cancel()
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), ENDS_WITHIN_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()


def _crashed(code: int, stderr: IO[bytes]) -> SecateurError:
    """The error of a process that ended without saying how."""
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    detail = lines[-1] if lines else f"Its exit code was {code}."
    return SecateurError(
        "The export ended without a word", detail, "`secateur export` in a shell shows all it says."
    )
