"""Leaving the program: it asks first if something would be lost."""

from collections.abc import Iterable

from textual.app import App

from tui.screens.base import BaseScreen
from tui.session import Session
from tui.widgets.confirm import Confirm


async def leave(app: App[None], places: Iterable[BaseScreen], session: Session) -> None:
    """Exit, unless a place or an export has something to lose and the user wants to keep it."""
    lost = [text for place in places if (text := place.before_quit())]
    export = session.export
    if export is not None and export.running:
        lost.append(
            f"Trial {export.wish.trial} of {export.wish.study} is being exported: leaving stops that."
        )
    if not lost or await app.push_screen_wait(Confirm("Leave now?", "\n".join(lost), "Leave", "Stay")):
        if session.keeper is not None:
            session.keeper.close()
        app.exit()
