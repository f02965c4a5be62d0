"""What to try next, from any place that shows a study: each opens as an edited preset."""

import asyncio

from engine.errors import SecateurError
from tui.screens.base import BaseScreen
from tui.session import Failed, Go, Tell
from tui.widgets.picker import Choice, Picker
from tui.work import studies


class NextActions(BaseScreen):
    """A part of such a place."""

    def action_next(self) -> None:
        self.run_worker(self._next(), group="next", exclusive=True)

    async def _next(self) -> None:
        """Offer what is worth trying after the study, and open what is chosen in the lab."""
        name = self.pointed() or self.session.study
        if not name:
            return
        try:
            found, why = await asyncio.to_thread(
                studies.suggested, self.session.run(name), self.session.asked(name)
            )
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        if not found:
            self.post_message(Tell(f"{name}: {why}", "warn"))
            return
        choices = [Choice(str(place), one.title, one.why) for place, one in enumerate(found)]
        chosen = await self.app.push_screen_wait(Picker(f"After {name}", choices, columns=("try", "why")))
        if chosen:
            self.session.proposal = name, found[int(chosen[0])].preset
            self.post_message(Go("lab"))
