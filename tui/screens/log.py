"""What the study's processes printed or the study's events, following."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.studies.state import StudyState
from tui.screens.base import StudyScreen, bindings
from tui.session import Session
from tui.views import log
from tui.views.run import Names
from tui.widgets.ending import Endings
from tui.widgets.pager import Pager, Scrolled
from tui.widgets.painted import Line

MOST_LINES = 6
"""Lines that say what became of the study, above what it printed."""


class LogScreen(StudyScreen):
    """A text that grows; reading it is a thread's business."""

    WHERE = "log"
    BINDINGS: ClassVar[list[BindingType]] = bindings("log")
    CSS_PATH = "log.tcss"
    AUTO_FOCUS = "Pager"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._events = True
        self._tail: log.Logs | log.Events | None = None
        self._lines: list[str] = []
        self._state: StudyState | None = None
        self._step_names = Names()
        self._names: Mapping[str, str] = {}

    def compose_body(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        yield Endings()
        yield Pager(self._text, follows=True)

    def on_mount(self) -> None:
        self.set_interval(log.LOOK_EVERY_S, self._look)

    def on_screen_resume(self) -> None:
        self._look()

    def show_state(self, state: StudyState | None) -> None:
        self._state = state
        self.query_one(Endings).show([state] if state else [], MOST_LINES)
        names = self._step_names.of(state)
        if names is not self._names:
            self._names = names
            self.query_one(Pager).show(self._text)
        self._title()

    def _look(self) -> None:
        if not self.is_current or self.session.study is None:
            return
        run = self.session.run(self.session.study)
        path = run.events if self._events else run.log
        if self._tail is None or self._tail.path != path:
            self._tail, self._lines = (log.Events(run) if self._events else log.Logs(run)), []
            pager = self.query_one(Pager)
            pager.follow = True
            pager.show(self._text)  # what is shown is of another file, and this one may be empty
        self._read(self._tail)

    @work(thread=True, exclusive=True, exit_on_error=True)
    def _read(self, tail: log.Logs | log.Events) -> None:
        lines = tail.read()
        if lines is not None and not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._add, tail.path, lines)

    def _add(self, path: Path, lines: list[str]) -> None:
        if self._tail is not None and path == self._tail.path:
            self._lines = lines
            self.query_one(Pager).show(self._text)
            self._title()

    def _text(self, width: int) -> list[Line]:
        if self._events and self._state is None and self.session.study:
            return []  # what steps are called is not known yet
        if not self._lines:
            return [[("Nothing yet.", "muted")]]
        if not self._events:
            return [line for text in self._lines for line in log.plain_line(text, width)]
        return [line for text in self._lines for line in log.event_line(text, width, self._names)]

    @on(Scrolled.Followed)
    def _title(self) -> None:
        on_cluster = self._state is not None and self._state.executor == "slurm"
        what = "events" if self._events else "tasks' logs" if on_cluster else "engine log"
        following = "following" if self.query_one(Pager).follow else "standing still (f follows)"
        status = f" ({self._state.status})" if self._state else ""
        self.query_one("#title", Static).update(
            f"{self.session.study or 'no study'}{status}  {what}, {following}"
        )

    def action_follow(self) -> None:
        pager = self.query_one(Pager)
        pager.follow = not pager.follow
        pager.redraw()
        self._title()

    def action_events(self) -> None:
        self._events = not self._events
        self._look()
        self._title()
