"""Follows a study's events on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, assert_never

from engine.cli.common import columns, redraw, tell
from engine.errors import sentence
from engine.machine import signals
from engine.machine.allocation import Allocation
from engine.measures import table
from engine.results import failures, guessing
from engine.results.summary import in_words, quality_of
from engine.studies import events as ev
from engine.studies import lease
from engine.studies.rundir import RunDir
from engine.studies.state import Reader, StudyState, TrialState
from engine.text import numbers, tables
from engine.text.phrases import counted
from engine.text.visible import visible

LOOK_EVERY_S = 0.2
ENDED = ("done", "failed", "cancelled", "lost", "unreadable")
BAR = 24
"""Cells of the progress bar."""


def follow(run: RunDir) -> StudyState | int:
    """Show progress until the study ends; its state, or the number of the signal that ended the following.

    Ctrl-C, a closed terminal and the like end the following, and the study goes on; not so in a batch job.
    """
    show = _Bar() if sys.stderr.isatty() else _Lines()
    reader = Reader(run)
    try:
        with signals.blocked():
            while True:
                heard(run)
                status = run.read_status().state
                for event in _new_events(reader):
                    show.event(event, reader.state)
                show.tick(reader.state)
                if status in ENDED:
                    break
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt as error:
        show.clear()
        goes_on(run)
        return signals.number_of(error)
    show.clear()
    return reader.read_all()


def heard(run: RunDir) -> None:
    """Take a signal that asks for an end: in a batch job it means the study too, and its engine is told.

    Elsewhere it means the following alone: raises Ended.
    """
    if Allocation.here() is None:
        signals.check()
    elif number := signals.came():
        by = lease.holder(run.path)
        if by is not None and not by.ended and by.process.fate() == "alive":
            with contextlib.suppress(ProcessLookupError):
                os.kill(by.process.pid, number)


def goes_on(run: RunDir) -> None:
    """Tell that a study which is no longer followed has not ended."""
    tell(
        "",
        f"{run.name} goes on in the background: `secateur watch {run.name}` follows it again, "
        f"`secateur cancel {run.name}` stops it",
    )


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """`text` on a terminal while the block runs, or what it says in its place, and gone afterwards."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = text
    redraw(shown)

    def say(other: str) -> None:
        nonlocal shown
        if (other or text) != shown:
            shown = other or text
            redraw(shown)

    try:
        yield say
    finally:
        redraw("")


def _new_events(reader: Reader) -> Iterator[ev.Event]:
    """Each event while the state is as it was at it: a later one may plan the trials anew."""
    yield from reader.new()
    while not reader.at_end:
        yield from reader.new()


class Known:
    """What is not told again, and whose the steps are."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._of: list[TrialState] | None = None
        self._users: dict[str, list[TrialState]] = {}

    def first(self, text: str) -> bool:
        """Whether it was not said before; from now on it was."""
        new = text not in self._said
        self._said.add(text)
        return new

    def users(self, key: str, state: StudyState) -> list[TrialState]:
        """The trials that have the step among theirs."""
        if state.trials is not self._of:  # planned anew, or with more of a search
            self._of, self._users = state.trials, {}
            for trial in state.trials:
                for own in {step.key for step in trial.chain}:
                    self._users.setdefault(own, []).append(trial)
        return self._users.get(key, [])


class _Lines:
    """One line for each thing that happened."""

    def __init__(self) -> None:
        self._known = Known()

    def event(self, event: ev.Event, state: StudyState) -> None:
        tell(*told(event, state, self._known))

    def tick(self, state: StudyState) -> None:
        """Nothing is redrawn where there is no terminal."""

    def clear(self) -> None:
        """Nothing is left to clear."""


class _Bar:
    """The same lines above a bar that is redrawn in place."""

    def __init__(self) -> None:
        self._shown = ""
        self._known = Known()

    def event(self, event: ev.Event, state: StudyState) -> None:
        if lines := tuple(told(event, state, self._known, brief=True)):
            self.clear()
            tell(*(tables.abbreviate(visible(line), columns()) for line in lines))

    def tick(self, state: StudyState) -> None:
        text = tables.abbreviate(visible(progress_line(state)), columns() - 1)
        if text != self._shown:
            redraw(text)
            self._shown = text

    def clear(self) -> None:
        if self._shown:
            redraw("")
        self._shown = ""


def progress_line(state: StudyState) -> str:
    """Bar, share of the work, trials, what runs, time left."""
    filled = round(state.progress * BAR)
    bar = "#" * filled + "." * (BAR - filled)
    left = state.remaining_seconds()
    parts = [f"[{bar}] {state.progress:4.0%}  {state.fraction} trials"]
    if left is not None and state.status == "running":
        parts.append(f"about {numbers.duration(left)} left")
    running = [f"{s.address} {s.text}".strip() for s in state.steps.values() if s.status == "running"]
    return "  ".join([*parts, ", ".join(running[:3])])


def told(event: ev.Event, state: StudyState, known: Known, *, brief: bool = False) -> Iterator[str]:
    """Lines about an event; none about those too frequent to tell (`brief` leaves out more).

    `known` has what is not said again: trials, reasons of failures, epochs, waits and notices.
    """
    match event:
        case ev.StudyStarted():
            again = "resumed" if event.resumed else "started"
            yield f"{event.study} {again} on {event.host} (process {event.pid})"
        case ev.Planned():
            where = f"{event.devices.get('device')}, {counted(event.devices.get('threads', 0), 'thread')}"
            yield f"{counted(len(event.trials), 'trial')} on {where}"
        case ev.CheckedUp() | ev.Reached() | ev.Chosen():
            yield from event.lines
        case ev.Proposed():
            yield event.text
        case ev.StepWaits():
            who = _who(event.key, state, known) if event.key in state.steps else "the check-up"
            if event.text and known.first(text := f"{who} waits {event.text}"):
                yield text
        case ev.EpochFinished():
            # Whoever takes a training up tells the epochs that were kept of it once more.
            if not brief and known.first(f"{event.key} {event.epoch} {event.time}"):
                step, value = state.steps[event.key], _quality(event.measures, "validation_")
                yield (
                    f"{step.address} epoch {event.epoch}/{event.epochs}: loss {event.loss:.4f}, validation {value}"
                )
        case ev.StepFinished():
            yield from _trial(event.key, state, known)
            yield _finished(event, state, known)
        case ev.StepFailed():
            yield from _trial(event.key, state, known)
            new = known.first(failures.alike(event.error))
            why = sentence(event.error) if new else "for the same reason as before"
            yield f"FAILED {_who(event.key, state, known)}: {why}"
        case ev.TaskStarted():
            again = f" (restart {event.restart})" if event.restart else ""
            yield f"task {event.name} ({event.stage}) runs on {event.host}{again}"
        case ev.TaskEnded():
            if event.outcome != "done":
                yield f"task {event.task.partition('.')[0]} {event.outcome}"
        case ev.Notice():
            # What holds for the network, every trial tells anew.
            if known.first(event.text) or not brief:
                yield f"{event.level}: {event.text}"
        case ev.StudyFinished():
            if state.trials:
                yield f"{event.state}: {state.counts}, {state.failed} failed"
            else:
                yield f"{event.state} before its trials were planned"
        case ev.Verdict() | ev.StepStarted() | ev.StepProgress():
            pass
        case _:
            assert_never(event)


def _trial(key: str, state: StudyState, known: Known) -> Iterator[str]:
    """What the one trial of a step is, before its first result."""
    users = known.users(key, state)
    if len(users) == 1 and users[0].parameters and known.first(name := f"trial {users[0].index}"):
        yield f"{name}: {', '.join(in_words(users[0].parameters))}"


def _finished(event: ev.StepFinished, state: StudyState, known: Known) -> str:
    value = ""
    for what, prefix in (("test", ""), ("validation", "validation_")):
        if not value and quality_of(event.measures, prefix):
            value = f": {what} {_quality(event.measures, prefix)}"
    if guessing.observed(state.steps[event.key]):
        value += f", {guessing.WORDS}"
    took = "reused" if event.reused else numbers.duration(event.seconds)
    return f"{_who(event.key, state, known)}{value} ({took})"


def _quality(measures: dict[str, Any], prefix: str) -> str:
    """A classifier's accuracy, or a detector's mAP with its name."""
    quality = quality_of(measures, prefix)
    if quality is None:
        return numbers.MISSING
    name, value = quality
    return (
        numbers.percent(value)
        if name == "accuracy"
        else f"{table.measure(name).label} {numbers.percent(value)}"
    )


def _who(key: str, state: StudyState, known: Known) -> str:
    """The step's name and the trial it is for, or how many trials share it."""
    users, step = known.users(key, state), state.steps[key]
    if len(users) == 1:
        return f"trial {users[0].index} {step.address}" if users[0].parameters else step.address
    return f"{step.address} (shared by {counted(len(users), 'trial')})" if users else step.address
