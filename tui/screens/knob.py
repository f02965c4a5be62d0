"""The live knob: a stored model, compressed further without training, answered as one turns."""

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from engine.errors import SecateurError
from engine.reports.clips import Clip
from engine.results import pick
from engine.studies.knob import Answer
from engine.studies.state import StudyState
from tui.keys.action import hint
from tui.screens.base import StudyScreen, bindings, titled
from tui.screens.copying import CopyActions
from tui.screens.starting import StartActions
from tui.session import Failed, Go, Session, Tell
from tui.views import knob
from tui.views.trial import find
from tui.widgets.lines import Lines
from tui.widgets.painted import Line
from tui.widgets.plot import Plot
from tui.work import knob as work
from tui.work.knob import Dial, Turning

POLL_S = 0.05
"""Seconds between two looks for answers: a sixth of what a point may take to follow a key."""


class KnobScreen(StudyScreen, CopyActions, StartActions):
    """Holds a worker for the current trial while one is here; leaving gives it back."""

    WHERE = "knob"
    BINDINGS: ClassVar[list[BindingType]] = bindings("knob")
    CSS_PATH = "knob.tcss"
    AUTO_FOCUS = ""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._turning: Turning | None = None
        self._state: StudyState | None = None

    def compose_body(self) -> ComposeResult:
        yield Lines(self._top, id="top")
        with Horizontal():
            yield titled(Plot("its points appear here", id="visited"), "accuracy")
            with Vertical(id="side"):
                yield titled(Lines(self._beside, id="beside"), "beside the trial")
                yield titled(Lines(self._layers, id="layers"), "layers")

    def on_mount(self) -> None:
        self.query_one(Plot).can_focus = False
        self.set_interval(POLL_S, self._poll)

    def ready(self) -> bool:
        return self._turning is not None

    # The worker

    def on_screen_resume(self) -> None:
        if self.session.trial is not None:
            self._hold(self.session.trial)

    def _hold(self, trial: int) -> None:
        """Take a worker for this trial of the current study, unless one is held for it, as behind a question."""
        study, now = self.session.current(), self._turning
        if study is None:
            return
        same = now is not None and (now.run.name, now.trial) == (study, trial)
        if not same or now is None or now.closed:
            self._take(trial, now if same else None)

    def on_screen_suspend(self) -> None:
        if self not in self.app.screen_stack:  # another place is shown, not a question over this one
            self._give_back()

    async def on_unmount(self) -> None:
        if self._turning is not None:
            await self._turning.close()

    def _take(self, trial: int, before: Turning | None) -> None:
        self._give_back()
        self._turning = Turning(self.session.run(self.session.study or ""), trial, before)
        self.run_worker(self._start(self._turning), group="worker")
        self._show()

    async def _start(self, turning: Turning) -> None:
        await turning.start()
        if self.is_running:  # the lab may be left meanwhile: what the page is made of goes first
            self._show()  # where it could not even begin, that is what there is to say

    def _give_back(self) -> None:
        if self._turning is not None:
            self.run_worker(self._turning.close(), group="worker")

    def _poll(self) -> None:
        turning = self._turning
        if turning is not None and (turning.poll() or turning.restless):
            self._show()

    # What is shown

    def show_state(self, state: StudyState | None) -> None:
        self._state = state
        if state is not None and self.session.trial is None and self in self.app.screen_stack:
            # The pick as it is now: the model in hand does not change while the study goes on.
            self.session.trial = self.session.trial_of(state)
            self._hold(self.session.trial)
        self._show()

    def picks_changed(self) -> None:
        self._show()

    def _show(self) -> None:
        top, plot, turning = self.query_one("#top", Lines), self.query_one(Plot), self._turning
        height = len(self._top(max(top.size.width, 20), 0))
        if top.styles.height is None or top.styles.height.value != height:
            top.styles.height = height
        top.redraw()
        if turning is not None:
            settings = self.session.settings_of(self._state.name, self._state) if self._state else None
            rule = pick.rule(settings, self.session.asked(turning.run.name)) if settings else pick.STANDARD
            trial = find(self._state, turning.trial)
            figure = knob.figure(turning, trial, rule)
            plot.border_title = knob.title(trial, rule)
            # Axes only grow while one technique is turned, so that they stay still.
            technique = turning.dial.technique if turning.dial else None
            plot.show(figure, (turning.run.name, turning.trial, technique), live=True)
        for name in ("#beside", "#layers"):
            self.query_one(name, Lines).redraw()

    def _top(self, width: int, height: int) -> Sequence[Line]:
        if self._turning is None:
            if self.session.study is not None:
                return []  # which trial it is, the study's state tells in a moment
            text = f"No study yet, and so no model: {hint('lab')} starts one, {hint('studies')} opens one."
            return [[(text, "muted")]]
        return knob.top(self._turning, width, self.size.height)

    def _beside(self, width: int, height: int) -> Sequence[Line]:
        return knob.beside(self._turning, width) if self._turning else []

    def _layers(self, width: int, height: int) -> Sequence[Line]:
        return knob.layers(self._turning.dial, width, height) if self._turning else []

    # What can be done

    def action_turn(self, by: int) -> None:
        self._turn(by)

    def action_leap(self, by: int) -> None:
        self._turn(by, lambda dial: dial.coarse)

    def action_end(self, to: int) -> None:
        self._turn(to, lambda dial: dial.last)

    def _turn(self, by: int, unit: Callable[[Dial], int] = lambda dial: 1) -> None:
        if self._turning is not None:
            self._turning.turn(by, unit)
            self._show()

    def action_technique(self, by: int) -> None:
        if self._turning is not None:
            self._turning.choose(by)
            self._show()

    def action_again(self) -> None:
        if self._turning is not None and self._turning.reason:
            self._take(self._turning.trial, self._turning)
        else:
            self.post_message(Tell("Its worker is there"))

    def action_open(self) -> None:
        """Open the preset that makes the network in the lab."""
        self.run_worker(self._open(), group="preset", exclusive=True)

    async def _open(self) -> None:
        made = await self._preset()
        if made is not None:
            self.session.proposal = made
            self.post_message(Go("lab"))

    async def run_preset(self) -> None:
        """Run the preset that makes the network, after the studies that run here."""
        made = await self._preset()
        if made is None:
            return
        from engine.presets import spec
        from engine.runner import launch

        assert self._turning is not None
        self.post_message(Tell("Starting …"))
        try:
            parsed = spec.parse(made[1], made[0], folder=self._turning.run.path)
            run = await self.begin(launch.with_default_executor(parsed), None, after=True)
        except SecateurError as error:
            self.post_message(Go(self.WHERE))
            self.post_message(Failed(error))
        else:
            await self.tell_begun(run)

    async def _preset(self) -> tuple[str, str] | None:
        """Name and text of the preset that makes the network at the value now; None, said why, if there is none."""
        turning, answer = self._turning, self._answer()
        if turning is None or turning.dial is None or answer is None:
            self.post_message(Tell("There is no answer yet to make a preset of", "warn"))
            return None
        if not answer.added:
            self.post_message(Tell("Nothing is changed yet: → compresses more", "warn"))
            return None
        one = turning.dial.technique
        value = knob.value_text(one, answer.value)
        about = f"Trial {turning.trial} of {turning.run.name}, then {one.name}: {one.what} {value}"
        try:
            return await asyncio.to_thread(work.preset, turning.run, turning.trial, answer.steps(), about)
        except SecateurError as error:
            self.post_message(Failed(error))
            return None

    def _answer(self) -> Answer | None:
        return self._turning.dial.answer if self._turning and self._turning.dial else None

    def clips(self) -> Sequence[Clip]:
        from engine.plotting import csv
        from engine.presets.spec import to_yaml

        turning, answer = self._turning, self._answer()
        if turning is None or turning.dial is None or answer is None:
            return ()
        return [
            Clip("point", knob.point(turning.dial, turning.baseline)),
            Clip("steps", to_yaml({"steps": answer.steps()})),
            Clip("points drawn, CSV", csv.write(self.query_one(Plot).shown)),
        ]
