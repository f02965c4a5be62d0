"""The current study while it runs: the curve of what trains now, its steps, its own curve, what its workers use."""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from engine.machine.usage import Usage, gpus, usage
from engine.plotting.figure import Figure
from engine.studies.listed import Listed
from engine.studies.state import StudyState, TrialState
from engine.studies.status import OPEN
from tui.keys.action import hint
from tui.screens.acting import STARTABLE, StudyActions
from tui.screens.base import StudyScreen, bindings, titled
from tui.screens.search import SearchActions
from tui.session import Go, Session
from tui.views import log, run
from tui.views.run import Load
from tui.widgets.ending import Endings
from tui.widgets.lines import Lines
from tui.widgets.pager import Pager, Scrolled
from tui.widgets.painted import Line
from tui.widgets.plot import Plot
from tui.widgets.progress import Progress, running
from tui.widgets.trials import UNTRAINED, figure_of, without_curve
from tui.widgets.verdict import Verdict

LOAD_EVERY = 2
"""Looks between two of what the workers use."""
LOG_LINES = 200
MOST_LINES = 11
"""Lines that say what became of the study."""


def _is_open(state: StudyState | None) -> bool:
    """Whether there is a study, and it runs or waits."""
    return state is not None and state.status in OPEN


class Steps(Scrolled):
    """The study's steps; those that are being done stay in view."""

    def __init__(self) -> None:
        super().__init__(follows=True, id="steps")
        self._state: StudyState | None = None
        self._names: Mapping[str, str] = {}

    def show(self, state: StudyState | None, names: Mapping[str, str]) -> None:
        """Show these steps; those of another study from where it is."""
        if state is None or self._state is None or state.name != self._state.name:
            self.follow = True
        self._state, self._names = state, names
        self.redraw()

    def count(self) -> int:
        return len(self._names)

    def followed(self, height: int) -> int:
        return run.followed(self._state, self._names, height) if self._state else 0

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self._state is None:
            return []
        top = self.top(height)
        return run.steps(self._state, self._names, width, height, None if self.follow else top)


class RunScreen(StudyScreen, StudyActions, SearchActions):
    """Everything of a study that moves, on one page; what it led to is on the others."""

    WHERE = "run"
    BINDINGS: ClassVar[list[BindingType]] = bindings("run")
    CSS_PATH = "run.tcss"
    AUTO_FOCUS = "#training"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._state: StudyState | None = None
        self._names = run.Names()
        self._load: Load | None = None
        self._usage: tuple[float, Usage] | None = None
        self._tail: log.Events | None = None
        self._log: list[str] = []
        self._logged = ""
        """How the study stood when its log was read last."""
        self._looks = 0
        self._looking = False
        # What a look has read in a thread comes back to these though the place is being left.
        self._pager = Pager(self._log_lines, follows=True, id="log")
        self._of_load = Lines(self._load_lines, id="load")

    def compose_body(self) -> ComposeResult:
        yield Progress(self._nothing)
        yield Verdict()
        yield Endings(onward="r")
        with Horizontal(id="curves"):
            yield titled(Plot("no epoch is through yet", id="training"), "training")
            yield titled(Plot("the first trial is not through yet", id="trials"), "the study's curve")
        yield self._of_load
        with Horizontal(id="below"):
            yield titled(Steps(), "steps")
            with titled(Vertical(id="events"), "log"):
                yield self._pager

    def on_mount(self) -> None:
        self.set_interval(log.LOOK_EVERY_S, self._tick)

    def on_screen_resume(self) -> None:
        self._tick()

    def ready(self) -> bool:
        return self._state is not None

    # What is shown

    def _nothing(self) -> str:
        """What is said in place of a study; of one that is being read, nothing."""
        none = f"No study yet: F9 in {hint('lab')} runs the preset, {hint('studies')} opens one."
        return "" if self.session.study else none

    def show_state(self, state: StudyState | None) -> None:
        self._turn_to(state)
        live = _is_open(state)
        picked = self.session.picked(state.name, state) if state else None
        self.query_one(Verdict).show_pick(state, picked)
        again = f"{hint('lab')} has its preset" if state is not None and not live else ""
        self.query_one(Endings).show([state] if state else [], MOST_LINES, again)
        self._show_training(state)
        self._show_trials(state, [picked.trial] if picked else [])
        self.query_one(Progress).show(state)
        self._of_load.display = live
        self._of_load.redraw()
        self.query_one(Steps).show(state, self._names.of(state))

    def _turn_to(self, state: StudyState | None) -> None:
        """Take a study's new state; of another study, forget what was read of the one before."""
        before, self._state = self._state, state
        if state is None or before is None or state.name != before.name:
            self._load, self._usage, self._tail, self._log, self._logged = None, None, None, [], ""
            self._pager.show(self._log_lines)
        elif _is_open(before) and not _is_open(state):
            self.say("")  # that it goes on is not so any more

    def _show_training(self, state: StudyState | None) -> None:
        """The curve of what trains now, or why nothing does."""
        plot, live = self.query_one("#training", Plot), _is_open(state)
        if state is None:
            plot.show(Figure(), live=live)
        else:
            waiting = state.waits or ("for its turn" if state.queue else "")
            waits = f"the study waits {waiting}" if waiting else ""
            shown = run.trained(state)
            of = (state.name, *sorted({step.address for step in shown}))  # steps of a kind have axes alike
            plot.show(
                run.training_figure(state, shown), of, live=live, ended="" if live else UNTRAINED, waits=waits
            )
            names = [self._names.of(state).get(step.key, step.address) for step in shown]
            now = any(step.status == "running" for step in shown)
            plot.border_title = ": ".join(
                part
                for part in ("training" if now or not shown else "trained last", ", ".join(names))
                if part
            )

    def _show_trials(self, state: StudyState | None, picks: Sequence[TrialState]) -> None:
        """The study's own curve; where there is room for one, in place of the training's once no more is trained."""
        settings = self.session.settings_of(state.name, state) if state else None
        wanted = settings.plot if settings else None
        curve = figure_of(state, wanted, picks)
        self.query_one("#trials", Plot).show(
            curve, state and state.name, live=_is_open(state), ended=without_curve(state, wanted)
        )
        drawn = any(line.points for line in curve.series)
        self.set_class(state is not None and drawn and run.is_trained(state), "-trained")
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        """Keys go to the curve that is in view, where the one that had them is no more."""
        if self.focused is None:
            next(plot for plot in self.query(Plot) if plot.display).focus()

    def _load_lines(self, width: int, height: int) -> Sequence[Line]:
        return run.load_lines(self._state, self._load, width)[:height] if self._state else []

    def _log_lines(self, width: int) -> list[Line]:
        names = self._names.of(self._state)
        return [line for text in self._log[-LOG_LINES:] for line in log.event_line(text, width, names)]

    # What is looked at

    def _tick(self) -> None:
        state = self._state
        if not self.is_current or state is None or self._looking:
            return
        # Once more when it has ended: its last events came after the last look.
        if state.status in OPEN or state.status != self._logged:
            self._looks += 1
            self.query_one(Progress).redraw()
            self._looking = True
            self.run_worker(self._look(state), group="look")

    async def _look(self, state: StudyState) -> None:
        """Read the log's new lines, and what the workers use, in threads; one look at a time."""
        try:
            await self._look_at_log(state)
            if self._looks % LOAD_EVERY == 0 and state.status in OPEN and state.host == socket.gethostname():
                await self._look_at_load(state)
        finally:
            self._looking = False

    async def _look_at_log(self, state: StudyState) -> None:
        tail = self._tail = self._tail or log.Events(self.session.run(state.name))
        lines = await asyncio.to_thread(tail.read)
        if tail is not self._tail:  # another study is shown by now
            return
        self._logged = state.status
        if lines is not None:
            self._log = lines
            self._pager.show(self._log_lines)

    async def _look_at_load(self, state: StudyState) -> None:
        pids = [step.pid for step in running(state) if step.pid]
        now, used = time.monotonic(), await asyncio.to_thread(usage, pids)
        on_gpu = str(state.devices.get("device", "")).startswith("cuda")
        cards = await asyncio.to_thread(gpus) if on_gpu else []
        before = self._usage
        seconds = now - before[0] if before else 0.0
        self._usage = now, used
        self._load = Load.between(before[1] if before else None, used, seconds, cards)
        self._of_load.redraw()

    # What can be done

    @on(Plot.Chosen, "#trials")
    def _to_curves(self) -> None:
        self.post_message(Go("curves"))

    @on(Plot.Chosen, "#training")
    def _to_trial(self) -> None:
        self.post_message(Go("trial"))

    def picks_changed(self) -> None:
        self.show_state(self._state)

    def offers(self, action: str) -> bool:
        states = {"cancel": OPEN, "resume": STARTABLE}.get(action)
        if states is not None:
            return self._state is not None and self._state.status in states
        return super().offers(action)

    def meant(self) -> list[Listed]:
        study = self.session.run(self._state.name) if self._state else None
        return [Listed(study, study.read_status())] if study else []
