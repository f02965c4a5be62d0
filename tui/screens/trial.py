"""One trial in full: its parameters, steps, measures against the baseline, errors, environment."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.errors import SecateurError
from engine.measures.table import measure, measure_text
from engine.reports.clips import Clip, of_grid
from engine.reports.table import Grid
from engine.results import failures, pick
from engine.results.summary import measure_names, measure_value, quality_name
from engine.studies.state import StudyState, TrialState
from tui.screens.base import StudyScreen, bindings
from tui.screens.compare import CompareActions
from tui.screens.copying import CopyActions
from tui.screens.next import NextActions
from tui.screens.report import ReportActions
from tui.screens.turning import KnobActions
from tui.session import Failed, Go, Session, Tell
from tui.views.classes import classes
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
from tui.widgets.ending import ONWARD, paragraphs
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.work import studies

WIDE = 110
"""Columns from which the measures stand beside the steps."""
Part = Callable[[StudyState, TrialState, int], list[Line]]


class TrialScreen(StudyScreen, ReportActions, CompareActions, CopyActions, NextActions, KnobActions):
    """Two documents side by side where there is room, else one."""

    WHERE = "trial"
    BINDINGS: ClassVar[list[BindingType]] = bindings("trial")
    CSS_PATH = "trial.tcss"
    AUTO_FOCUS = "#left"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._state: StudyState | None = None
        self._index = 0
        self._by_true_class: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._read: tuple[str, str] | None = None

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            yield Pager(self._left, id="left")
            yield Pager(self._right, id="right")

    def show_state(self, state: StudyState | None) -> None:
        self._state, self._index = state, self.session.trial_of(state)
        trial = find(state, self._index)
        wanted = (f"{state.name} {trial.measure.key}", trial.measure.status) if state and trial else None
        unread = wanted != self._read
        if unread:  # before it is drawn: what was read is of another trial
            self._read, self._by_true_class = wanted, ({}, {})
        self._draw()
        if unread and state is not None and trial is not None:
            self.run_worker(self._load(state, trial), group="classes", exclusive=True)

    def _draw(self) -> None:
        study = self._state and self._state.name  # among its trials one goes on reading at the same place
        self.query_one("#left", Pager).show(self._left, study)
        self.query_one("#right", Pager).show(self._right, study)

    async def _load(self, state: StudyState, trial: TrialState) -> None:
        """How each class did, from the files beside the measures."""
        run = self.session.run(state.name)
        after = await asyncio.to_thread(run.classes, trial.measure.key)
        before = await asyncio.to_thread(run.classes, trial.baseline_measure.key)
        self._by_true_class = after, before
        if after:
            self._draw()

    def ready(self) -> bool:
        return self._state is not None

    def on_screen_resume(self) -> None:
        self.query_one("#left", Pager).focus()

    def _left(self, width: int) -> list[Line]:
        parts: list[Part] = [head, errors, remarks, steps]
        if self.size.width < WIDE:
            parts += self._measured()
        return self._build(parts, width)

    def _right(self, width: int) -> list[Line]:
        if find(self._state, self._index) is None:
            return []
        return self._build(self._measured(), width)

    def _measured(self) -> list[Part]:
        return [measures, self._by_class, latency, events, environment]

    def _by_class(self, state: StudyState, trial: TrialState, width: int) -> list[Line]:
        return classes(*self._by_true_class, width)

    def _build(self, parts: list[Part], width: int) -> list[Line]:
        trial = find(self._state, self._index)
        if self._state is not None and trial is None and (end := failures.ending(self._state)):
            return [[(self._state.name, "title")], *paragraphs(failures.paragraphs_of(end, ONWARD), width)]
        if self._state is None and self.session.study:
            return []  # it is being read
        if self._state is None or trial is None:
            return [[(nothing(self._state), "muted")]]
        return [line for part in parts for line in part(self._state, trial, width)]

    def picks_changed(self) -> None:
        self.show_state(self._state)

    def clips(self) -> Sequence[Clip]:
        trial = find(self._state, self._index)
        if self._state is None or trial is None:
            return ()
        rows = [
            (name, measure_text(name, measure_value(trial.results, name)))
            for name in measure_names(self._state)
        ]
        values = [Clip(f"value: {measure(name).label}", text) for name, text in rows]
        return [
            *values,
            *of_grid(Grid(("measure", "value"), [(measure(n).label, t) for n, t in rows]), what="measures"),
        ]

    def read_clips(self) -> Sequence[Clip]:
        name = self.session.study
        return studies.clips(self.session.run(name), self._index, self.session.asked(name)) if name else ()

    def action_trial(self, by: int) -> None:
        """Show the trial before or after."""
        count = len(self._state.trials) if self._state else 0
        if count:
            self.session.trial = (self._index + by) % count
            self.show_state(self._state)

    def turned(self) -> int | None:
        return self._index

    def action_layers(self) -> None:
        self.post_message(Go("layers"))

    def action_edit(self) -> None:
        """Open the preset that makes the trial in the lab."""
        trial = find(self._state, self._index)
        if self._state is None or trial is None:
            return
        try:
            self.session.preset = studies.trial_preset(self.session.run(self._state.name), trial)
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            self.post_message(Go("lab"))

    def action_check_bits(self) -> None:
        """Check whether equal computations give equal bits on this machine, and show what was found."""
        self.post_message(Tell("Checking this machine's bits; it takes some seconds"))
        self.run_worker(self._check_bits(), group="bits", exclusive=True)

    async def _check_bits(self) -> None:
        from tui.work import bits

        try:
            text = await bits.run()
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            await self.app.push_screen(Notice("This machine's bits", text, role="title"))

    def action_export(self) -> None:
        """Take the trial's model away."""
        from tui.screens.model_export import ExportScreen

        trial = find(self._state, self._index)
        if self._state is None or trial is None or trial.measure.status != "done":
            self.post_message(Tell("Only a trial that is done can be exported", "warn"))
        else:
            goal = pick.goal_of(self._state, [trial])
            about = pick.describe(trial, goal, quality_name(self._state))
            self.app.push_screen(ExportScreen.of(self.session, self._state.name, trial, about))
