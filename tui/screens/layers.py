"""The layers of a trial's model, before and after: where the weights and the work went."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from engine.reports.clips import Clip
from engine.results import network
from engine.results.summary import in_words
from engine.studies.state import StudyState, TrialState
from engine.text.numbers import count, percent
from tui.keys.action import hint
from tui.screens.base import StudyScreen, bindings
from tui.screens.compare import CompareActions
from tui.screens.copying import CopyActions, of_table
from tui.session import Session
from tui.views import layers
from tui.views.trial import find, nothing
from tui.widgets.table import Table

NONE = "No layers yet: they are measured at a trial's end."
SORTS = ("order", "parameters", "MACs", "sparsity")


class LayersScreen(StudyScreen, CompareActions, CopyActions):
    """A table, a row a layer; the files are read in a thread when another trial is shown."""

    WHERE = "layers"
    BINDINGS: ClassVar[list[BindingType]] = bindings("layers")
    CSS_PATH = "layers.tcss"
    AUTO_FOCUS = "Table"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._state: StudyState | None = None
        self._layers: list[network.Layer] = []
        self._read: tuple[str, str] | None = None
        self._sort = 0
        self._reversed = False

    def compose_body(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        yield Table(layers.COLUMNS, NONE)

    def show_state(self, state: StudyState | None) -> None:
        self._state = state
        trial = find(state, self.session.trial_of(state))
        if state is None or trial is None:
            self._layers, self._read = [], None
            self._fill(nothing(state))
            return
        failed = state.standing(trial) == "failed"
        self.query_one(Table).empty = (
            f"No layers: trial {trial.index} failed, {hint('trial')} says why." if failed else NONE
        )
        wanted = (f"{state.name} {trial.measure.key}", trial.measure.status)
        if wanted != self._read:
            self._read = wanted
            self.run_worker(self._load(state, trial), exclusive=True)

    async def _load(self, state: StudyState, trial: TrialState) -> None:
        run = self.session.run(state.name)
        self._layers = await asyncio.to_thread(network.of, run, trial)
        values = ", ".join(in_words(trial.parameters))
        total = sum(layer.before for layer in self._layers)
        left = sum(layer.nonzero for layer in self._layers)
        kept = (
            f"{count(left)} of {count(total)} parameters left ({percent(left / total, 1)})   "
            if total
            else ""
        )
        self._fill(f"{state.name} trial {trial.index}: {kept}{values}")

    def _fill(self, title: str | None = None) -> None:
        if title is not None:
            self.query_one("#title", Static).update(title)
        rows = layers.ordered(self._layers, SORTS[self._sort], self._reversed)
        self.query_one(Table).fill(layers.rows(rows), layers.headed(rows, SORTS[self._sort]))

    def picks_changed(self) -> None:
        self.show_state(self._state)

    def clips(self) -> Sequence[Clip]:
        return of_table(self.query_one(Table), "table of layers")

    def action_sort(self) -> None:
        self._sort, self._reversed = (self._sort + 1) % len(SORTS), False
        self._fill()

    def action_reverse(self) -> None:
        self._reversed = not self._reversed
        self._fill()

    def action_trial(self, by: int) -> None:
        """Show the trial before or after."""
        count_ = len(self._state.trials) if self._state else 0
        if count_:
            self.session.trial = (self.session.trial_of(self._state) + by) % count_
            self.show_state(self._state)
