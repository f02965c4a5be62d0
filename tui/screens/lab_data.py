"""The lab's look at the preset's data: the report of `secateur data check`, with a few of the images."""

import os
from collections.abc import Sequence
from typing import Any

from textual import work

from engine.errors import SecateurError
from tui.screens.lab_run import RunActions
from tui.screens.lab_texts import TextView
from tui.session import Failed
from tui.views import images
from tui.widgets.painted import Line
from tui.widgets.wrap import wrapped

NOTE = "! "
"""How the report marks what is unusual."""


class DataView(TextView):
    """What the data are, and some of them."""

    def __init__(self, sections: Sequence[dict[str, Any]]) -> None:
        super().__init__("The preset's data", ())
        self._sections = sections

    def build(self, width: int) -> Sequence[Line]:
        lines: list[Line] = []
        for section in self._sections:
            if not os.environ.get("NO_COLOR"):  # half-blocks of one colour show nothing
                lines += images.rows(section.get("thumbnails", ()), width)
            for text in section["report"].splitlines():
                role = "warn" if text.startswith(NOTE) or "damaged" in section else ""
                indent = text[: len(text) - len(text.lstrip())]
                lines += wrapped(text.lstrip(), width, role, indent) if text else [()]
            lines.append(())
        return lines


class DataActions(RunActions):
    """A part of the lab screen."""

    @work(exclusive=True, group="data")
    async def action_look(self) -> None:
        """Look at the data as the preset is now, and show what was found."""
        from tui.work.images import look  # it takes multiprocessing along, which the first frame does without

        self.flush()
        checked = await self._check_now()
        if checked.spec is None:
            self._go_to(checked.problems[0])
            return
        self.say("Looking at the data …")
        try:
            sections = await look(checked.spec, self.session.workspace)
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        self.say("")
        self.app.push_screen(DataView(sections))
