"""What the watcher tells screens; the latest of a kind replaces those not handled yet."""

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.studies.listed import Listed
    from engine.studies.state import StudyState


class StudyChanged(Message, bubble=False):
    """A subscribed study has moved on; `state` is a copy nobody else changes.

    `state.status` already says `lost` for an engine that is gone, `unreadable` for a folder that can't be
    read or was deleted.
    """

    def __init__(self, run_name: str, state: "StudyState") -> None:
        super().__init__()
        self.run_name = run_name
        self.state = state

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StudyChanged) and message.run_name == self.run_name


class StudiesChanged(Message, bubble=False):
    """The list of studies, newest first, if anything in it changed."""

    def __init__(self, studies: "tuple[Listed, ...]") -> None:
        super().__init__()
        self.studies = studies

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StudiesChanged)
