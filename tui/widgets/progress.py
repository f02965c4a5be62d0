"""How far a study is: its name and standing, a bar, what goes on and the time left."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.studies.status import OPEN, counts
from engine.text import numbers, tables
from engine.text.bars import bar
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import wrapped

if TYPE_CHECKING:
    from engine.studies.state import StepState, StudyState

ROLES = {"failed": "bad", "lost": "bad", "unreadable": "bad", "done": "good"}


def running(state: "StudyState") -> "list[StepState]":
    """The steps that are being done now."""
    return [step for step in state.steps.values() if step.status == "running"]


def phase(state: "StudyState") -> str:
    """What goes on, in a few words: before the first step too, and where a study waits between two; of a search also
    how far its round is."""
    from engine.results import searches

    if state.status not in OPEN:
        return ""
    if searches.is_search(state) and state.chosen is None:
        return f"{searches.doing(state)}; {_step(state)}"
    return _step(state)


def _step(state: "StudyState") -> str:
    if state.queue:
        return state.queue
    if state.started is None:
        return "its engine is starting"
    if not state.trials:
        return "reading its data"
    steps = running(state)
    if steps:
        return ", ".join(f"{step.address} {step.text}".strip() for step in steps[:3])
    if state.checked is None:
        return "trying its data and networks"
    return (
        "between two steps"
        if any(step.status == "done" for step in state.steps.values())
        else "starting a worker"
    )


def left(state: "StudyState") -> str:
    """The time left, as far as it is known."""
    seconds = state.remaining_seconds()
    return f"about {numbers.duration(seconds)} left" if seconds is not None else "time left not known yet"


def head(state: "StudyState", width: int, now: float) -> list[Line]:
    """Three lines: name and standing, a bar, what goes on."""
    from engine.results.failures import moment

    role = ROLES.get(state.status, "accent")
    done = counts(state.done, len(state.trials), state.untimed, state.most, verb="") if state.trials else ""
    failed = f", {state.failed} failed" if state.failed else ""
    going_on = state.status in OPEN
    # Without the time between an engine and the next, and that in which it waited for its turn.
    since = max(now - state.heard_at, 0.0) if going_on and not state.idle else 0.0
    took = numbers.duration(state.worked + since) if state.started else ""
    if going_on:
        took = took and f"{took} so far"
    elif took and state.finished:
        took = f"ended {moment(state.finished)}   took {took}"
    else:
        took = ""
    remaining = left(state) if going_on else ""
    right = "   ".join(part for part in (took, remaining) if part)
    first: Line = [(f"{state.name} ", "title"), (f"{state.status} ", role), (f"{done}{failed}", "")]
    used = sum(tables.cell_width(text) for text, _ in first)
    if used + tables.cell_width(right) + 2 <= width:
        first = [*first, (" " * (width - used - tables.cell_width(right)), ""), (right, "muted")]
        right = ""
    percent = f" {state.progress * 100:3.0f} %"
    drawn: Line = [(bar(state.progress, max(width - len(percent), 1)), "bar"), (percent, "")]
    if right and tables.cell_width(f"{right}   {phase(state)}") > width:
        right = remaining
    what = "   ".join(part for part in (right, phase(state)) if part)
    return [first, drawn, [(tables.abbreviate(what, width), "muted")]]


class Progress(Painted):
    """Three lines on one study; on fewer where there is nothing to say."""

    DEFAULT_CSS = "Progress { height: 3; }"

    def __init__(self, nothing: Callable[[], str]) -> None:
        """`nothing` gives what is said while none is shown."""
        super().__init__()
        self._nothing = nothing
        self._state: StudyState | None = None

    def show(self, state: "StudyState | None") -> None:
        self._state = state
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self._state is None:
            return wrapped(self._nothing(), width, "muted")
        return head(self._state, width, time.time())
