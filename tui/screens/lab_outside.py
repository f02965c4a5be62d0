"""The lab's ways out of the terminal: the preset in the user's own editor, and to the clipboard."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import work
from textual.app import SuspendNotSupported

from engine.errors import SecateurError
from tui.lab.document import read
from tui.screens.copying import CopyActions
from tui.screens.lab_base import LabBase
from tui.session import Failed
from tui.widgets.confirm import Confirm
from tui.work import editor

if TYPE_CHECKING:
    from engine.reports.clips import Clip


class OutsideActions(LabBase, CopyActions):
    """A part of the lab screen."""

    def clips(self) -> "Sequence[Clip]":
        from engine.reports.clips import of_preset  # the first frame does not wait for it

        self.flush()
        document = self.document
        name = document.name if document.shipped else str(document.path) if document.path else None
        return list(of_preset(document.yaml(), name))

    @work
    async def action_editor(self) -> None:
        """Edit the whole preset in the user's editor; what can't be shown is edited again, or dropped."""
        self.flush()
        text = self.document.text
        while (edited := self._edited_outside(text)) is not None and edited != text:
            try:
                root = read(edited, f"{self.document.name} from your editor")
            except SecateurError as error:
                drop = Confirm(error.title, error.detail, "Drop what was edited", "Edit it again")
                if await self.app.push_screen_wait(drop):
                    return
                text = edited
                continue
            if self.document.replace(root, "edit in your editor"):
                self.refresh_all(fresh=True)
            return

    def _edited_outside(self, text: str) -> str | None:
        """What the user's editor makes of a text; None where there is none, or it says that it failed."""
        try:
            with self.app.suspend():
                return editor.edit(text, self.document.name)
        except SuspendNotSupported:
            self.say("This terminal can't be lent to an editor", "warn")
        except SecateurError as error:
            self.post_message(Failed(error))
        return None
