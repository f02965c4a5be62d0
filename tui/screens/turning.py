"""Turning the knob of a model, from any place that shows a trial or has a pick."""

import asyncio
import contextlib

from engine.errors import SecateurError
from engine.studies.listed import Listed
from tui.screens.base import BaseScreen
from tui.session import Go, Tell
from tui.work import studies


class KnobActions(BaseScreen):
    """A part of such a place."""

    def turned(self) -> int | None:
        """The trial whose knob is turned; None: the study's pick."""
        return None

    def action_knob(self) -> None:
        self.run_worker(self._turn(), group="knob", exclusive=True)

    async def _turn(self) -> None:
        name = self.pointed() or self.session.study
        if not name:
            self.post_message(Tell("There is no study yet, and so no model to turn a knob of", "warn"))
            return
        run, trial = self.session.run(name), self.turned()
        if trial is None:
            # Without a pick, because nothing is smaller yet, there may be a model all the same.
            trial = (self.session.trial or 0) if name == self.session.study else 0
            with contextlib.suppress(SecateurError):
                listed = Listed(run, run.read_status())
                trial = (await asyncio.to_thread(studies.pick, listed, self.session.asked(name)))[0].index
        self.session.show(name)
        self.session.trial = trial
        self.post_message(Go("knob"))
