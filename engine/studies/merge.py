"""A study's event files as one sequence: ordered by time, file and line, whenever and in whatever order they are read.

A study with an engine has one file. Of a study whose tasks run as jobs every attempt of a task has its own, so that
each has one writer; they may lie on a file system that shows them late, and come from clocks that differ.
"""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from engine.studies import events as ev
from engine.studies.log import Tail
from engine.studies.rundir import RunDir

Order = tuple[float, str, int]
"""Time, file and line. Time never runs backwards within a file, even where its writer's clock did."""


@dataclass(frozen=True)
class Found:
    """One line that was read; `event` is None where it makes no sense."""

    order: Order
    event: ev.Event | None


@dataclass
class _File:
    tail: Tail
    line: int = 0
    time: float = 0.0
    closed: bool = False
    """Whether its writer has said that it is through."""


@dataclass
class Merged:
    """What is new in the event files of a study."""

    run: RunDir
    _files: dict[str, _File] = field(default_factory=dict)
    _folder: int = -1
    _gone: bool = False
    """Whether one of the files was taken back, as by a submission that Slurm refused."""
    _waiting: list[Found] = field(default_factory=list)
    _last: dict[str, Order] = field(default_factory=dict)
    _latest: Order = (0.0, "", 0)

    def poll(self) -> list[Found] | None:
        """What is new, in order, at most 256 KiB of each file; call again at once while it gives any.

        None: something came too late for what was given before, or a file was replaced, taken back or has shrunk. Then
        all is to be read anew.
        """
        horizon = inf
        files = self._open()
        if self._gone:
            return None
        for file in files:
            before = file.tail.offset
            lines, again = file.tail.read()
            if again:
                return None
            for line in lines:
                self._take(file, line)
            if file.tail.offset > before and _size(file.tail.path) > file.tail.offset:
                horizon = min(horizon, file.time)
        now = sorted((f for f in self._waiting if f.order[0] <= horizon), key=lambda one: one.order)
        self._waiting = [f for f in self._waiting if f.order[0] > horizon]
        return None if any(self._late(one) for one in now) else now

    def signature(self) -> tuple[object, ...]:
        """Changes whenever there is something new to read; costs a `stat` for each file that is still written."""
        files = [file.tail for file in self._open()]
        return tuple((file.path.name, file.offset, *_stat(file.path)) for file in files)

    def _take(self, file: _File, line: bytes) -> None:
        event = ev.parse_line(line)
        file.line += 1
        file.time = max(file.time, event.time if event else 0.0)
        file.closed |= isinstance(event, ev.TaskEnded)
        self._waiting.append(Found((file.time, file.tail.path.stem, file.line), event))

    def _late(self, line: Found) -> bool:
        """Whether what was given before depends on this; notes what is given now."""
        what = _about(line.event)
        if what is None:
            return False
        late = line.order < (self._last.get(what, line.order) if what else self._latest)
        self._last[what], self._latest = line.order, max(self._latest, line.order)
        return late

    def _open(self) -> list[_File]:
        """The files that may still grow, those that are new among them."""
        changed = _stat(self.run.task_events)[2]
        if self._folder in (-1, 0) or changed != self._folder:
            self._folder = changed
            there = self.run.event_files()
            for path in there:
                self._files.setdefault(path.name, _File(Tail(path)))
            self._gone |= bool(changed) and len(there) < len(self._files)
        return [file for file in self._files.values() if not file.closed]


def _about(event: ev.Event | None) -> str | None:
    """What later events of the same must not be overtaken by; empty: the whole study; None: nothing."""
    match event:
        case None | ev.Notice():
            return None
        case ev.TaskStarted() | ev.TaskEnded():
            return event.task
        case (
            ev.StudyStarted()
            | ev.Planned()
            | ev.Proposed()
            | ev.Chosen()
            | ev.Reached()
            | ev.StudyFinished()
            | ev.Verdict()
        ):
            return ""
        case _:
            return getattr(event, "key", None)


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _size(path: Path) -> int:
    return _stat(path)[1]
