"""Lines to read and scroll: help, a trial, the log."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from tui.keys.table import bindings
from tui.widgets.painted import Line, Painted

Builder = Callable[[int], Sequence[Line]]
"""Gives the lines for a width."""


class Scrolled(Painted, can_focus=True):
    """Lines of which some are in view. Where it `follows`, what matters now stays in view until one scrolls away from
    it, and again once one is back there."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("text")

    class Followed(Message):
        """It began to follow, or ceased to."""

    def __init__(self, *, follows: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._follows = self.follow = follows
        self._top = 0

    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def followed(self, height: int) -> int:
        """The first line in view while it follows: such that the last one is in view."""
        return self._last(height)

    def top(self, height: int) -> int:
        """The first line in view."""
        self._top = self.followed(height) if self.follow else max(0, min(self._top, self._last(height)))
        return self._top

    def _last(self, height: int) -> int:
        return max(self.count() - height, 0)

    def scrolled(self, by: int) -> None:
        self._scroll_by(3 * by)

    def action_move(self, by: int) -> None:
        self._scroll_by(by)

    def action_page(self, by: int) -> None:
        self._scroll_by(by * max(self.size.height - 2, 1))

    def action_end(self, to: int) -> None:
        self._scroll_by(to * self.count())

    def _scroll_by(self, by: int) -> None:
        height, before = self.size.height, self.follow
        self._top = max(0, min(self.top(height) + by, self._last(height)))
        self.follow = self._follows and self._top == self.followed(height)
        if self.follow != before:
            self.post_message(self.Followed())
        self.redraw()


class Pager(Scrolled):
    """Shows what a builder gives for its width."""

    def __init__(
        self, build: Builder = lambda width: (), *, follows: bool = False, id: str | None = None
    ) -> None:
        super().__init__(follows=follows, id=id)
        self._build = build
        self._of: object = None
        self._all: Sequence[Line] = ()

    def show(self, build: Builder, of: object = None) -> None:
        """Show other lines, at the same place; of something else than before, `of`, from their beginning."""
        self._build = build
        self._top = self._top if of == self._of else 0
        self._of = of
        self.prepare()
        self.redraw()

    def count(self) -> int:
        return len(self._all)

    def lines(self, width: int, height: int) -> Sequence[Line]:
        top = self.top(height)
        shown = list(self._all[top : top + height])
        below = len(self._all) - top - height
        if below > 0 and shown and height > 3:
            shown[-1] = [(f"↓ {below + 1} more", "muted")]
        return shown

    def prepare(self) -> None:
        if self.is_mounted and self.size:
            self._all = self._build(self.size.width)
