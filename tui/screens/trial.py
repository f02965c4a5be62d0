"""One trial in full: its parameters, steps, measures against the baseline, errors, environment."""

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.errors import SecateurError
from engine.results import failures, pick
from engine.results.summary import quality_name
from engine.studies.state import StudyState, TrialState
from tui.screens.base import StudyScreen, bindings
from tui.session import Failed, Go, Session, Tell
from tui.views.trial import (
    environment,
    errors,
    events,
    find,
    head,
    latency,
    measures,
    nothing,
    remarks,
    steps,
)
from tui.widgets.confirm import Notice
from tui.widgets.document import Document
from tui.widgets.ending import ONWARD, paragraphs
from tui.widgets.painted import Line

WIDE = 110
"""Columns from which the measures stand beside the steps."""
Part = Callable[[StudyState, TrialState, int], list[Line]]


class TrialScreen(StudyScreen):
    """Two documents side by side where there is room, else one."""

    WHERE = "trial"
    BINDINGS: ClassVar[list[BindingType]] = bindings("trial")
    CSS_PATH = "trial.tcss"
    AUTO_FOCUS = "#left"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._state: StudyState | None = None

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            yield Document(self._left, id="left")
            yield Document(self._right, id="right")

    def show_state(self, state: StudyState | None) -> None:
        self._state = state
        self.query_one("#left", Document).show(self._left)
        self.query_one("#right", Document).show(self._right)

    def ready(self) -> bool:
        return self._state is not None

    def on_screen_resume(self) -> None:
        self.query_one("#left", Document).focus()

    def _left(self, width: int) -> list[Line]:
        parts: list[Part] = [head, errors, remarks, steps]
        if self.size.width < WIDE:
            parts += [measures, latency, events, environment]
        return self._build(parts, width)

    def _right(self, width: int) -> list[Line]:
        if find(self._state, self.session.trial) is None:
            return []
        return self._build([measures, latency, events, environment], width)

    def _build(self, parts: list[Part], width: int) -> list[Line]:
        trial = find(self._state, self.session.trial)
        if self._state is not None and trial is None and (found := failures.ending(self._state)):
            return [[(self._state.name, "title")], *paragraphs(failures.paragraphs_of(found, ONWARD), width)]
        if self._state is None or trial is None:
            return [[(nothing(self._state), "muted")]]
        return [line for part in parts for line in part(self._state, trial, width)]

    def action_trial(self, by: int) -> None:
        """Show the trial before or after."""
        count = len(self._state.trials) if self._state else 0
        if count:
            self.session.trial = (self.session.trial + by) % count
            self.show_state(self._state)

    def action_layers(self) -> None:
        self.post_message(Go("layers"))

    def action_check_bits(self) -> None:
        """Check whether equal computations give equal bits on this machine, and show what was found."""
        self.post_message(Tell("Checking this machine's bits; it takes some seconds"))
        self.run_worker(self._check_bits(), group="bits", exclusive=True)

    async def _check_bits(self) -> None:
        from tui.work import bits

        try:
            found = await bits.run()
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            await self.app.push_screen(Notice("This machine's bits", found, role="title"))

    def action_export(self) -> None:
        """Take the trial's model away."""
        from tui.screens.model_export import ExportScreen

        trial = find(self._state, self.session.trial)
        if self._state is None or trial is None or trial.measure.status != "done":
            self.post_message(Tell("Only a trial that is done can be exported", "warn"))
        else:
            goal = pick.goal_of(self._state, [trial])
            about = pick.describe(trial, goal, quality_name(self._state))
            self.app.push_screen(ExportScreen.of(self.session, self._state.name, trial, about))
