"""Keys that work now, in a row; where the mouse is on, a click on one presses it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.text.tables import cell_width
from tui.widgets.painted import Line, Painted, Span

MORE = " … "
"""Where there are more keys than room: help lists them."""


class Hint(NamedTuple):
    """A key as people write it, what it does, and its name in Textual (empty: it can't be clicked)."""

    text: str
    label: str
    key: str = ""

    @property
    def width(self) -> int:
        """Columns that it takes: a space before the key, between key and label, and after it."""
        return cell_width(self.text) + cell_width(self.label) + 3

    @property
    def spans(self) -> list[Span]:
        return [(f" {self.text}", "accent"), (f" {self.label} ", "")]


def fitted(hints: Sequence[Hint], width: int) -> list[Hint]:
    """As many of the hints as have room, in their order; where some have none there is room left for MORE."""
    used = 0
    for place, hint in enumerate(hints):
        more = len(MORE) if place + 1 < len(hints) else 0
        if used + hint.width + more > width:
            return list(hints[:place])
        used += hint.width
    return list(hints)


class Keys(Painted):
    """The keys at the foot of a modal."""

    DEFAULT_CSS = "Keys { height: 1; }"

    def __init__(self, *hints: Hint, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: Sequence[Hint] = hints

    def show_keys(self, hints: Sequence[Hint]) -> None:
        self._hints = hints
        self.redraw()

    def row(self, width: int) -> Iterator[Hint | Span]:
        """What stands in the row from left to right: hints, and other text between them."""
        shown = fitted(self._hints, width)
        yield from shown
        if len(shown) < len(self._hints):
            yield MORE, "muted"

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return [
            [span for part in self.row(width) for span in (part.spans if isinstance(part, Hint) else [part])]
        ]

    def clicked(self, x: int, y: int, times: int) -> None:
        end = 0
        for part in self.row(self.size.width):
            end += part.width if isinstance(part, Hint) else cell_width(part[0])
            if x < end:
                if isinstance(part, Hint) and part.key:
                    self.app.simulate_key(part.key)
                return
