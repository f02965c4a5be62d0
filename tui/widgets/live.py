"""The study beside the preset: how far it is, its curve, its trials."""

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from engine.studies.status import OPEN
from tui.widgets.ending import Endings
from tui.widgets.progress import Progress
from tui.widgets.table import Column, Table
from tui.widgets.verdict import Verdict

if TYPE_CHECKING:  # the first frame shows no study yet, and does without what reads and draws one
    from engine.results.pick import Asked
    from engine.studies.settings import StudySettings
    from engine.studies.state import StudyState

NOTHING = "No study yet: F9 runs the preset, and its curve appears here."
MOST_LINES = 11
"""Lines that say what became of a study, so that a curve and some trials stay in view on a small terminal."""


class Live(Vertical):
    """Progress, curve and trials of one study.

    To begin with it only says that there is none; what shows one comes with `complete`, after the first frame.
    """

    asked: "Asked" = None
    """What is asked for of the pick in place of what the preset says."""

    def compose(self) -> ComposeResult:
        yield Progress(lambda: NOTHING)

    @property
    def is_complete(self) -> bool:
        """Whether it can show a study."""
        return bool(self.query("#trials"))

    async def complete(self) -> None:
        """Have all that shows a study."""
        from tui.widgets.plot import Plot

        await self.mount(Verdict(), Endings(), Plot(id="curve"), Table([Column("trial")], "", id="trials"))

    def show(self, state: "StudyState | None", settings: "StudySettings | None") -> None:
        """Show a study as it stands; its settings say what to plot and pick.

        Only once it is complete.
        """
        from tui.widgets.plot import Plot

        self.query_one(Progress).show(state)
        if state is None:
            self._show_none()
            return
        from engine.results import pick
        from tui.widgets import trials

        picked = pick.asked_for(state, settings, self.asked)
        self.query_one(Verdict).show_pick(state, picked)
        live = state.status in OPEN
        plot = settings.plot if settings else None
        figure = trials.figure_of(state, plot, [picked.trial] if picked else [])
        self.query_one(Plot).show(figure, state.name, live=live, ended=trials.without_curve(state, plot))
        self.query_one(Endings).show([state], MOST_LINES, "" if live else "F9 runs the preset as it is now")
        rows, columns = trials.listed(state, picked.trial if picked else None)
        self.query_one(Table).fill(rows, columns)

    def _show_none(self) -> None:
        from tui.widgets.plot import Plot

        self.query_one(Verdict).show(())
        self.query_one(Plot).clear()
        self.query_one(Endings).show([])
        self.query_one(Table).fill([], [Column("trial")])
