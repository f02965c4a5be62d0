"""Copying from any place: a value, a row, a table, the preset, a command."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import SecateurError
from engine.text.numbers import size
from tui.screens.base import BaseScreen
from tui.session import Failed, Tell
from tui.widgets.picker import Choice, Picker
from tui.widgets.table import Table, spanned
from tui.work import clipboard

if TYPE_CHECKING:
    from engine.reports.clips import Clip


class CopyActions(BaseScreen):
    """A part of such a place."""

    def clips(self) -> "Sequence[Clip]":
        """What can be copied here, as it is on screen."""
        return ()

    def read_clips(self) -> "Sequence[Clip]":
        """What can be copied beside that and is read from files, in a thread."""
        return ()

    def action_copy(self) -> None:
        self.run_worker(self._copy(), group="copy", exclusive=True)

    async def _copy(self) -> None:
        """Ask what to copy, and put it into the terminal's clipboard."""
        shown = self.clips()
        try:
            clips = [*shown, *await asyncio.to_thread(self.read_clips)]
        except (
            OSError,
            SecateurError,
        ):  # a preset that can't be read: what is on screen can be copied all the same
            clips = [*shown]
        if not clips:
            self.post_message(Tell("There is nothing to copy here", "warn"))
            return
        choices = [Choice(str(place), clip.label, _preview(clip.text)) for place, clip in enumerate(clips)]
        picked = await self.app.push_screen_wait(Picker("Copy", choices, columns=("what", "")))
        if not picked:
            return
        clip, driver = clips[int(picked[0])], self.app._driver
        assert driver is not None
        try:
            how = clipboard.put(clip.text, driver.write)
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            self.post_message(Tell(f"{clip.label}: {how}", "good"))


def of_table(table: Table, what: str) -> "list[Clip]":
    """What can be copied of a table: of the row under the cursor, and all of it."""
    from engine.reports.clips import of_grid  # the first frame does not wait for it
    from engine.reports.table import Grid

    headers = [column.name for column in table.columns]
    rows = [[spanned(cell)[0] for cell in row.cells] for row in table.rows]
    place = next((i for i, row in enumerate(table.rows) if row.key == table.key), None)
    sides = [column.align for column in table.columns]
    return list(of_grid(Grid(headers, rows, sides), place, what))


def _preview(text: str) -> str:
    """A text's only line, or its first and how much there is."""
    first, *rest = text.strip().splitlines() or [""]
    return f"{first} … {size(len(text.encode()))}" if rest else first
