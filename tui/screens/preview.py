"""The curve of the study under the cursor, below a list of studies."""

from textual import on
from textual.timer import Timer

from engine.studies.status import OPEN
from tui.screens.base import BaseScreen, titled
from tui.session import Session
from tui.widgets.plot import Plot
from tui.widgets.trials import figure_of, without_curve
from tui.work.messages import StudyChanged

RESTS_S = 0.3
"""Seconds that the cursor stands on a study before its events are read."""


class Preview(BaseScreen):
    """A part of a screen that lists studies."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._soon: Timer | None = None
        self._followed = ""
        """The study whose curve is shown."""

    def compose_preview(self) -> Plot:
        plot = titled(Plot(id="preview"), "its curve")
        plot.can_focus = False
        return plot

    def rest_on(self, name: str | None) -> None:
        """Show the curve of this study, unless another one is pointed at in a moment."""
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(RESTS_S, lambda: self._follow(name or ""))

    def _follow(self, name: str) -> None:
        plot = self.query_one("#preview", Plot)
        if not self.is_current or not plot.display or name == self._followed:
            return
        if self._followed:
            self.session.watcher.unsubscribe(self, self._followed)
        self._followed = name
        if name:
            self.session.watcher.subscribe(self, name)
        plot.border_title = name or "its curve"
        plot.clear()

    def on_screen_suspend(self) -> None:
        self._followed = ""

    @on(StudyChanged)
    def _draw(self, message: StudyChanged) -> None:
        if message.run_name != self._followed:
            return
        state, plot = message.state, self.query_one("#preview", Plot)
        settings = self.session.settings_of(state.name, state)
        picked = self.session.picked(state.name, state)
        plot.border_title = state.name
        wanted = settings.plot if settings else None
        figure = figure_of(state, wanted, [picked.trial] if picked else [])
        plot.show(figure, state.name, live=state.status in OPEN, ended=without_curve(state, wanted))
