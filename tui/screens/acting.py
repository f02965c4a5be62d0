"""What can be done to studies from any place that shows some: start, stop, let begin."""

import asyncio
from collections.abc import Sequence

from engine.errors import SecateurError
from engine.studies.listed import Listed
from engine.studies.status import OPEN
from tui.screens.base import BaseScreen
from tui.session import Failed, Go, Tell
from tui.widgets.confirm import Ask, Confirm
from tui.work import studies


def question(act: str, meant: Sequence[Listed]) -> str:
    """Whether to do it to these studies, as the title of what asks."""
    return f"{act} {meant[0].run.name}?" if len(meant) == 1 else f"{act} {len(meant)} studies?"


STARTABLE = ("queued", "cancelled", "failed", "lost")
"""How studies stand that can be started, or go on."""


class StudyActions(BaseScreen):
    """A part of such a place."""

    def meant(self) -> list[Listed]:
        """The studies that an action is about."""
        return []

    def acted(self) -> None:
        """Something was done to all that were meant."""

    def action_resume(self) -> None:
        self.do("started", STARTABLE, studies.start)

    def action_cancel(self) -> None:
        self.run_worker(self._cancel())

    async def _cancel(self) -> None:
        """Stop what is open of what is meant, once that is confirmed: the key lies beside others."""
        meant = [study for study in self.meant() if study.status.state in OPEN]
        if meant:
            done = ", ".join(f"{study.run.name}: {study.status.counts}" for study in meant)
            detail = f"{done}. What is done stays, and r goes on where it was."
            if not await self.app.push_screen_wait(Confirm(question("Stop", meant), detail, "Stop", "Go on")):
                return
        self.do("asked to stop", OPEN, studies.cancel)

    def action_begin_now(self) -> None:
        self.do("begins now", ("queued",), studies.begin_now)

    def do(self, done: str, states: Sequence[str], act: studies.Act) -> None:
        """Do it to those that are meant and in one of these states; `done` says what it was."""
        meant = self.meant()
        fitting = [study for study in meant if study.status.state in states]
        if not fitting:
            what = ", ".join(f"{s.run.name} is {s.status.state}" for s in meant) or "there is no study"
            self.post_message(Tell(f"Not possible: {what}", "warn"))
            return
        self.run_worker(self.carry_out(fitting, act, done))

    async def carry_out(self, meant: list[Listed], act: studies.Act, done: str) -> None:
        names = []
        for study in meant:
            self.post_message(Tell(f"{study.run.name} …"))
            try:
                names.append(await asyncio.to_thread(act, study))
            except SecateurError as error:
                if not await self._asked_where(study, error):
                    return
                names.append(study.run.name)
        self.acted()
        self.session.watcher.look()
        self.post_message(Tell(f"{', '.join(names)}: {done}", "good"))

    async def _asked_where(self, study: Listed, error: SecateurError) -> bool:
        """Ask what to do with a study that began on another machine, tell every other error; whether it goes on."""
        from engine.runner.pinned import OtherMachine

        if not isinstance(error, OtherMachine):
            self.post_message(Failed(error))
            return False
        choices = {
            "w": f"wait, and go on with the same bits on {error.host}",
            "h": "go on here with other bits",
            "n": "begin anew: its preset in the lab, as a new study",
        }
        answer = await self.app.push_screen_wait(Ask(error.title, error.detail, choices))
        if answer == "n":
            self.session.preset = study.run.preset
            self.post_message(Go("lab"))
        if answer != "h":
            return False
        try:
            await asyncio.to_thread(studies.start, study, here=True)
        except SecateurError as second:
            self.post_message(Failed(second))
            return False
        return True
