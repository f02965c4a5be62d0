"""Leaving the program: it asks first if something would be lost."""

from typing import TYPE_CHECKING

from tui.screens.base import BaseScreen
from tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from tui.app import Lab


async def leave(app: "Lab") -> None:
    """Exit, unless a screen has something to lose and the user wants to keep it."""
    stacks = app._screen_stacks.values()
    lost = [
        text for stack in stacks for s in stack if isinstance(s, BaseScreen) and (text := s.before_quit())
    ]
    if app.export is not None and app.export.running:
        lost.append(
            f"Trial {app.export.wish.trial} of {app.export.wish.study} is being exported: leaving stops that."
        )
    if lost and not await app.push_screen_wait(Confirm("Leave now?", "\n".join(lost), "Leave", "Stay")):
        return
    app.exit()
