"""The end of a log file, and its lines as text to show; markup in them means nothing."""

import os
from collections.abc import Iterator, Mapping
from heapq import merge
from pathlib import Path
from types import MappingProxyType

from engine.errors import sentence
from engine.results.summary import quality_of
from engine.studies import events as ev
from engine.studies.log import READ_AT_MOST
from engine.studies.rundir import RunDir
from engine.text.numbers import duration, percent
from engine.text.phrases import counted
from tui.views.trial import clock
from tui.widgets.painted import Line
from tui.widgets.wrap import wrapped

LOOK_EVERY_S = 1.0
"""Seconds between two looks at the clock and the log while a study is open."""
LINES = 5000
"""Lines kept; the file has the rest."""


class Tail:
    """Reads what is new of a file, its last 256 KiB at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = -1
        self._lines: list[str] = []
        self._rest = b""
        self.known = 0
        """How many of the lines that were read last had been read before; the others are new."""

    def read(self) -> list[str] | None:
        """The lines so far, or None if nothing is new."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self._offset < 0 or size < self._offset:
                    self._offset, self._lines, self._rest = max(0, size - READ_AT_MOST), [], b""
                elif size == self._offset:
                    return None
                file.seek(self._offset)
                data = file.read(READ_AT_MOST)
        except OSError:
            return None
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._lines = [*self._lines, *(line.decode("utf-8", "replace") for line in whole)][-LINES:]
        self.known = max(0, len(self._lines) - len(whole))
        return self._lines


class Events:
    """Reads what is new of a study's event files, like `Tail`; lines of several come in the order of their times."""

    def __init__(self, run: RunDir) -> None:
        self.path = run.events
        self._run = run
        self._tails: dict[Path, Tail] = {}
        self._lines: dict[Path, list[tuple[float, str]]] = {}

    def read(self) -> list[str] | None:
        """The lines so far, or None if nothing is new."""
        new = False
        for path in self._run.event_files():
            tail = self._tails.setdefault(path, Tail(path))
            lines = tail.read()
            if lines is not None:
                before = self._lines.get(path, [])
                known = before[len(before) - tail.known :]
                new, self._lines[path] = True, [*known, *_timed(lines[tail.known :], known)]
        return [text for _, text in merge(*self._lines.values())][-LINES:] if new else None


class Logs:
    """Reads what is new of what a study's processes printed, like `Tail`; where that is several files, each has its
    name above it."""

    def __init__(self, run: RunDir) -> None:
        self.path = run.log
        self._run = run
        self._tails: dict[Path, Tail] = {}
        self._lines: dict[Path, list[str]] = {}

    def read(self) -> list[str] | None:
        """The lines so far, or None if nothing is new."""
        new = False
        for path in self._run.logs():
            lines = self._tails.setdefault(path, Tail(path)).read()
            if lines:
                new, self._lines[path] = True, lines
        if not new:
            return None
        if len(self._lines) == 1:
            return next(iter(self._lines.values()))
        named = [[f"{path.name}:", *lines, ""] for path, lines in self._lines.items()]
        return [line for part in named for line in part][-LINES:]


def _timed(lines: list[str], before: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Each line with its time; one without has that of the line before, the first that of the last one `before`."""
    time = before[-1][0] if before else 0.0
    for text in lines:
        event = ev.parse_line(text.encode())
        time = max(time, event.time if event else 0.0)
        yield time, text


def plain_line(text: str, width: int) -> list[Line]:
    """A line of the engine's log."""
    start = text[:40].lower()
    role = "bad" if "error" in start or "traceback" in start else ""
    return wrapped(text.replace("\t", "    ")[:4000], width, role)


def event_line(text: str, width: int, names: Mapping[str, str] = MappingProxyType({})) -> list[Line]:
    """An event as people read it; a line that is none is shown as it is.

    `names` calls steps by name instead of by the begin of their key.
    """
    event = ev.parse_line(text.encode())
    if event is None:
        return wrapped(text[:400], width, "muted")
    try:
        words, role = _words(event, names)
    except (TypeError, ValueError, AttributeError, LookupError):  # values of other types than ours
        return wrapped(text[:400], width, "muted")
    first, *rest = wrapped(words, max(width - 10, 10), role)
    when = clock(event.time) if isinstance(event.time, int | float) else "--:--:--"
    return [[(f"{when}  ", "muted"), *first], *([(" " * 10, ""), *line] for line in rest)]


def _words(event: ev.Event, names: Mapping[str, str]) -> tuple[str, str]:
    key = getattr(event, "key", None) or ""
    kind = getattr(event, "kind", "")
    step = names.get(key, f"{kind} {key[:8]}".strip())
    match event:
        case ev.StudyStarted():
            return f"{event.study} {'resumed' if event.resumed else 'started'} on {event.host}", "title"
        case ev.Planned():
            return f"planned {counted(len(event.trials), 'trial')}", ""
        case ev.CheckedUp():
            return "; ".join(["checked", *event.lines]), ""
        case ev.Reached():
            return "; ".join(["can be reached", *event.lines]), ""
        case ev.Proposed():
            return event.text, ""
        case ev.Chosen():
            return "; ".join(event.lines), "title"
        case ev.StepStarted():
            return f"{step} started", "muted"
        case ev.StepProgress():
            share = _percent(event.done) if event.done or not event.text else ""
            return " ".join(filter(None, (step, share, event.text))), "muted"
        case ev.StepWaits():
            who = names.get(key, "the check-up")
            return f"{who} waits {event.text}" if event.text else f"{who} goes on", "muted"
        case ev.EpochFinished():
            name, value = quality_of(event.measures, "validation_") or ("accuracy", None)
            what = "validation" if name == "accuracy" else "validation mAP"
            return f"{step} epoch {event.epoch}/{event.epochs}  {what} {_percent(value)}", ""
        case ev.StepFinished():
            again = " (reused)" if event.reused else ""
            return f"{step} done  {_seconds(event.seconds)}{again}", "good"
        case ev.StepFailed():
            return f"{step} FAILED: {_error_text(event.error)}", "bad"
        case ev.TaskStarted():
            return f"task {event.name} ({event.stage}) runs on {event.host}", ""
        case ev.TaskEnded():
            return f"task {event.task.partition('.')[0]} {event.outcome}", "muted"
        case ev.Notice():
            return f"{event.level}: {event.text}", "warn"
        case ev.StudyFinished():
            return f"study {event.state} {_error_text(event.error)}", "title"
        case ev.Verdict():
            return ("replay: identical" if event.identical else "replay: DIFFERENT"), "title"


def _error_text(error: object) -> str:
    return sentence(error) if isinstance(error, dict) else ""


def _percent(value: object) -> str:
    return percent(float(value)) if isinstance(value, int | float) else "–"


def _seconds(value: object) -> str:
    return duration(float(value)) if isinstance(value, int | float) else "–"
