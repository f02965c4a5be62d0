"""The bar of places above every screen, and below it the keys that work here or what there is to say."""

from collections.abc import Iterator, Sequence

from engine.text.tables import abbreviate, cell_width
from tui.keys.action import PLACES, Place
from tui.session import Go
from tui.widgets.keys import Hint, Keys
from tui.widgets.painted import Line, Painted, Span

CLOSE_BELOW = 100
"""Columns below which the places stand closer together, so that the study has room beside them."""


class PlaceBar(Painted):
    """Places with their keys, the one on screen in reverse; at the right the current study."""

    DEFAULT_CSS = """
    PlaceBar { height: 1; dock: top; background: $panel; }
    """

    def __init__(self, here: str) -> None:
        super().__init__()
        self._here = here
        self._study = ("", "")
        self._before = ""

    def typing(self, now: bool) -> None:
        """While a text is edited, digits belong to it: the places have their function keys then."""
        self._before = "F" if now else ""
        self.redraw()

    def show_study(self, name: str, status: str) -> None:
        """Name the current study and how it stands."""
        self._study = (name, status)
        self.redraw()

    def _labels(self, width: int) -> Iterator[tuple[Place, list[Span]]]:
        """How each place is written in a bar of this width."""
        gap = "" if width < CLOSE_BELOW else " "
        for place in PLACES:
            if place.name == self._here:
                key = f"{self._before}{place.key} " if place.key else ""
                yield place, [(f" {key}{place.label} ", "bold reverse"), ("", "")]
            elif place.key:
                yield place, [(f" {self._before}{place.key} ", "accent"), (f"{place.label}{gap}", "")]

    def clicked(self, x: int, y: int, times: int) -> None:
        """A click goes to the place."""
        end = 0
        for place, label in self._labels(self.size.width):
            end += sum(cell_width(text) for text, _ in label)
            if x < end:
                self.post_message(Go(place.name))
                return

    def lines(self, width: int, height: int) -> Sequence[Line]:
        spans = [span for _, label in self._labels(width) for span in label]
        used = sum(cell_width(text) for text, _ in spans)
        room = width - used - 2  # a column stays free on both of its sides
        name, status = self._study
        if name and room > len(status) + 4:
            text = f"{abbreviate(name, room - len(status) - 1)} {status}"
            spans.append((" " * (1 + room - cell_width(text)) + text, "muted"))
        return [spans]


class KeyBar(Keys):
    """Key hints, or until the next key a message."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; background: $panel; }
    """
    LAST = (Hint("^p", "commands", "ctrl+p"), Hint("?", "help", "question_mark"))

    def __init__(self) -> None:
        super().__init__()
        self._message: Span | None = None

    def say(self, text: str, role: str = "") -> None:
        """Show a message in place of the keys; an empty one shows the keys again."""
        message = (text, role) if text else None
        if message != self._message:
            self._message = message
            self.redraw()

    def row(self, width: int) -> Iterator[Hint | Span]:
        """The message; else the keys, and at the right what leads to all others."""
        if self._message:
            text, role = self._message
            yield f" {abbreviate(text, width - 2)}", role
            return
        room = width - sum(hint.width for hint in self.LAST)
        used = 0
        for part in super().row(room):
            used += part.width if isinstance(part, Hint) else cell_width(part[0])
            yield part
        yield " " * max(room - used, 0), ""
        yield from self.LAST
