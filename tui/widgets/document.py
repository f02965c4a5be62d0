"""Lines to read and scroll: help, a trial, the log."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from engine.text.tables import abbreviate, cell_width
from tui.keys.table import bindings
from tui.widgets.painted import Line, Painted

Builder = Callable[[int], Sequence[Line]]
"""Gives the lines for a width."""


class Document(Painted, can_focus=True):
    """Shows what a builder gives for its width; while `follow`, its end stays in view."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("text")

    def __init__(self, build: Builder = lambda width: (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build = build
        self._of: object = None
        self._all: Sequence[Line] = ()
        self._top = 0
        self.follow = False

    def show(self, build: Builder, of: object = None) -> None:
        """Show other lines, at the same place; of something else than before, `of`, from their beginning."""
        self._build = build
        self._top = self._top if of == self._of else 0
        self._of = of
        self.prepare()
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        last = max(len(self._all) - height, 0)
        self._top = last if self.follow else max(0, min(self._top, last))
        shown = list(self._all[self._top : self._top + height])
        below = len(self._all) - self._top - height
        if below > 0 and shown and height > 3:
            shown[-1] = [(f"↓ {below + 1} more", "muted")]
        return shown

    def prepare(self) -> None:
        if self.is_mounted and self.size:
            self._all = self._build(self.size.width)

    def scrolled(self, by: int) -> None:
        self._scroll_by(3 * by)

    def action_move(self, by: int) -> None:
        self._scroll_by(by)

    def action_page(self, by: int) -> None:
        self._scroll_by(by * max(self.size.height - 2, 1))

    def action_end(self, to: int) -> None:
        self._scroll_by(to * len(self._all))

    def _scroll_by(self, by: int) -> None:
        last = max(len(self._all) - self.size.height, 0)
        self._top = max(0, min(self._top + by, last))
        self.follow = self.follow and self._top == last
        self.redraw()


def clipped(lines: Sequence[Line], height: int, width: int) -> Sequence[Line]:
    """At most `height` of these lines; where some go, the last that stays ends in `…`."""
    if len(lines) <= height or height < 1:
        return lines[:height]
    kept, last = lines[: height - 1], lines[height - 1]
    text = "".join(text for text, _ in last)
    role = last[-1][1] if last else ""
    more = f"{text} …" if cell_width(text) < width - 2 else f"{text}……"
    return [*kept, [(abbreviate(more, width - 1), role)]]


def wrapped(text: str, width: int, role: str = "", indent: str = "") -> list[Line]:
    """Text broken at spaces (or within longer words) into lines of at most `width` columns."""
    out: list[Line] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split(" "):
            while cell_width(indent + word) > width > len(indent):
                cut = max(1, width - cell_width(indent))
                if line:
                    out.append([(indent + line, role)])
                    line = ""
                out.append([(indent + word[:cut], role)])
                word = word[cut:]
            joined = f"{line} {word}" if line else word
            if line and cell_width(indent + joined) > width:
                out.append([(indent + line, role)])
                line = word
            else:
                line = joined
        out.append([(indent + line, role)])
    return out
