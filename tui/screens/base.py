"""What every place of the lab has: the bar of places above, the keys that work below."""

from textual.app import ComposeResult
from textual.screen import Screen

from tui.actions import bindings


class BaseScreen(Screen[None]):
    """A place of the lab. Subclasses set WHERE, `BINDINGS = bindings(WHERE)`, and `compose_body`."""

    WHERE = ""
    AUTO_FOCUS = ""

    def compose(self) -> ComposeResult:
        yield from self.compose_body()

    def compose_body(self) -> ComposeResult:
        """The widgets between the bar of places and the footer."""
        yield from ()

    def before_quit(self) -> str:
        """What leaving the program now would lose, as a sentence; empty if nothing."""
        return ""


__all__ = ["BaseScreen", "bindings"]
