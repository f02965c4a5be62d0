"""Writing a report on studies, from any place that shows some."""

import asyncio

from engine.errors import SecateurError
from tui.screens.base import BaseScreen
from tui.session import Failed, Tell
from tui.widgets.confirm import Prompt
from tui.work import studies


class ReportActions(BaseScreen):
    """A part of such a place."""

    def in_report(self) -> list[str]:
        """The names of the studies that a report is on."""
        return [self.session.study] if self.session.study else []

    def action_report(self) -> None:
        self.run_worker(self._report(), group="report", exclusive=True)

    async def _report(self) -> None:
        """Ask for a file and write the report into it; what it draws is drawn in a thread."""
        names = self.in_report()
        if not names:
            self.post_message(Tell("There is no study to report on", "warn"))
            return
        from engine.reports.files import ABOUT

        name = await self.app.push_screen_wait(
            Prompt(f"Write a report on {', '.join(names)}", f"{names[0]}.html", ABOUT)
        )
        if not name:
            return
        self.post_message(Tell(f"{name} …"))
        try:
            runs = [self.session.run(study) for study in names]
            path = await asyncio.to_thread(studies.report, runs, name, self.session.asked)
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            self.post_message(Tell(f"wrote {path}", "good"))
