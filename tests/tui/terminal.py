"""The lab in a pseudo-terminal, for tests of keys and signals and for `benchmarks/tui.py`."""

import os
import re
import select
import sys
import time
from pathlib import Path

from tests import pseudo_terminal

HOME = Path(__file__).resolve().parents[2]
QUIET_S = 0.25
"""Silence after which a frame counts as finished."""


class Terminal:
    """The lab in a pseudo-terminal."""

    def __init__(
        self,
        workspace: Path,
        size: tuple[int, int] = (120, 40),
        *arguments: str,
        command: list[str] | None = None,
    ) -> None:
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLUMNS": str(size[0]),
            "LINES": str(size[1]),
            "XDG_CONFIG_HOME": str(workspace / "config"),
            "XDG_STATE_HOME": str(workspace / "state"),
            "PYTHONPATH": str(HOME),
        }
        for name in ("NO_COLOR", "PYTHONDONTWRITEBYTECODE"):  # users' modules are compiled
            environment.pop(name, None)
        lab = [sys.executable, "-m", "tui", "--workspace", str(workspace), *arguments]
        self.started = time.perf_counter()
        self.process, self.file = pseudo_terminal.start(command or lab, HOME, environment, size)
        self.pid = self.process.pid
        self.seen = b""

    def read(self, seconds: float) -> bytes:
        """What comes within `seconds`; empty if nothing does."""
        if not select.select([self.file], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self.file, 1 << 16)
        except OSError:  # the other side is closed
            return b""
        self.seen += data
        return data

    def until(self, *words: str, seconds: float = 10.0) -> float:
        """Read until all words were painted since the last call; the time that was."""
        end = time.perf_counter() + seconds
        missing = [word.encode() for word in words]
        while missing:
            if time.perf_counter() > end:
                raise TimeoutError(f"{missing} did not appear in {self.text()[-2000:]}")
            if self.read(0.5):
                missing = [word for word in missing if word not in self.seen]
        self.seen = b""
        return time.perf_counter()

    def ready(self, *words: str) -> None:
        """Read until all words were painted, and nothing comes any more."""
        self.until(*words)
        self.settle()

    def settle(self) -> int:
        """Read until nothing comes any more; the bytes that came."""
        count = 0
        while data := self.read(QUIET_S):
            count += len(data)
        self.seen = b""
        return count

    def settle_for(self, seconds: float) -> int:
        """Read for so long; the bytes that came."""
        end, count = time.perf_counter() + seconds, 0
        while (left := end - time.perf_counter()) > 0:
            count += len(self.read(left))
        self.seen = b""
        return count

    def text(self) -> str:
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.seen).decode(errors="replace")

    def press(self, keys: str) -> float:
        """Type, and wait for the first paint after it; the seconds that took."""
        while self.read(0):
            pass
        start = time.perf_counter()
        os.write(self.file, keys.encode())
        if not self.read(5.0):
            raise TimeoutError(f"nothing was painted after {keys!r}")
        return time.perf_counter() - start

    def close(self) -> int:
        """Leave with ^q; the exit code."""
        os.write(self.file, b"\x11")
        return self.ended(5.0)

    def ended(self, seconds: float) -> int:
        """Wait for the program to end; its exit code (negative: the signal), killed if it does not."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.read(0.05)
            if (code := self.process.poll()) is not None:
                os.close(self.file)
                return code
        return self.kill()

    def kill(self) -> int:
        """End the program at once; its exit code."""
        self.process.kill()
        os.close(self.file)
        return self.process.wait()
