"""What a lab leaves behind, so that the next one goes on where it was: its place, its study, edits that were not saved.

Each running lab writes a file of its own, so that two of them never take each other's edits; the next lab of the
workspace takes that of the newest one that has ended, whether it was left or killed.
"""

import contextlib
import os
import threading
import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.errors import SecateurError
from engine.machine.process import Process
from engine.store.files import read_json, write_json
from engine.store.paths import home

OLD_S = 30 * 86_400.0
"""After so many seconds what was left behind is removed."""


@dataclass(frozen=True)
class Remembered:
    """Where a lab was. `preset` is the path of its preset's file, `draft` the preset as YAML where it was not saved."""

    place: str = ""
    study: str = ""
    trial: int = -1
    """−1: the study's pick."""
    preset: str = ""
    name: str = ""
    draft: str = ""


class Keeper:
    """Keeps what one lab is at; what can't be written is not kept."""

    def __init__(self, workspace: Path) -> None:
        folder = _folder()
        self._prefix = sha256(str(workspace).encode()).hexdigest()[:16]
        self._process = Process.this()
        name = f"{self._prefix}-{self._process.host}-{self._process.pid}-{self._process.start_ticks}.json"
        self._file = folder / name if folder else None
        self._kept = Remembered()
        self._closed = False
        self._lock = threading.Lock()
        """Edits are noted by the thread that checks them, places by the interface."""

    def last(self) -> Remembered:
        """What the newest lab of this workspace that has ended left behind; whoever asks takes it over."""
        newest = max(self._left(), key=lambda one: one[0], default=None)
        if newest is None:
            return Remembered()
        _, file, self._kept = newest
        self._write()
        with contextlib.suppress(OSError):
            file.unlink()
        return self._kept

    def keep(self, **changes: Any) -> None:
        """Take note of what has changed."""
        with self._lock:
            self._keep(**changes)

    def close(self) -> None:
        """The lab is left: edits that were not saved are dropped, as was said, and nothing is noted any more."""
        with self._lock:
            self._keep(draft="")
            self._closed = True

    def _keep(self, **changes: Any) -> None:
        kept = replace(self._kept, **changes)
        if not self._closed and kept != self._kept:
            self._kept = kept
            self._write()

    def _left(self) -> list[tuple[float, Path, Remembered]]:
        """What labs of this workspace that have ended left, each with the time of its file."""
        folder = self._file.parent if self._file else None
        found = []
        with contextlib.suppress(OSError):
            for file in folder.glob("*.json") if folder else ():
                written = file.stat().st_mtime
                if time.time() - written > OLD_S:
                    file.unlink()
                elif file.name.startswith(self._prefix) and (kept := _read(file)) is not None:
                    found.append((written, file, kept))
        return found

    def _write(self) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError, SecateurError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json(self._file, {"process": asdict(self._process), **asdict(self._kept)}, durable=False)


def _read(file: Path) -> Remembered | None:
    """What an ended lab left; None of one that runs, here or elsewhere, and of what makes no sense."""
    found = read_json(file)
    if not isinstance(found, dict) or not isinstance(found.get("process"), dict):
        return None
    if Process.from_dict(found["process"]).fate() != "gone":
        return None
    empty = asdict(Remembered())
    return Remembered(**{n: v for n, v in found.items() if n in empty and isinstance(v, type(empty[n]))})


def _folder() -> Path | None:
    """Where programs keep their state (XDG base directories)."""
    own, base = os.environ.get("XDG_STATE_HOME"), home()
    state = Path(own) if own else base and base / ".local" / "state"
    return state and state / "secateur" / "labs"
