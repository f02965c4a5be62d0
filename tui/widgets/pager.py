"""Lines to read and scroll: help, a trial, the log."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.keys.table import bindings
from tui.widgets.painted import Line, Painted

Builder = Callable[[int], Sequence[Line]]
"""Gives the lines for a width."""


class Pager(Painted, can_focus=True):
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
