"""Follows the workspace from a thread, so that reading files never makes a key wait."""

from pathlib import Path

from textual.message_pump import MessagePump

from engine.state import StudyState


class Watcher:
    """Posts `StudyChanged` for studies subscribed to, and `StudiesChanged` to those who watch the list."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    def subscribe(self, node: MessagePump, run_name: str) -> None:
        """Post `StudyChanged(run_name, state)` to `node` now and whenever the study moves on."""

    def unsubscribe(self, node: MessagePump, run_name: str | None = None) -> None:
        """Stop posting to `node` about one study, or about everything."""

    def watch_list(self, node: MessagePump) -> None:
        """Post `StudiesChanged` to `node` now and whenever the list changes."""

    def state(self, run_name: str) -> StudyState | None:
        """The last state posted for a study that somebody is subscribed to."""
        return None
