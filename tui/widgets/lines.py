"""Lines that a function gives for the size there is: no cursor, nothing to scroll."""

from collections.abc import Callable, Sequence

from tui.widgets.painted import Line, Painted

Build = Callable[[int, int], Sequence[Line]]
"""Gives the lines for a width and a height."""


class Lines(Painted):
    """Shows what `build` gives; `redraw` asks it again."""

    def __init__(self, build: Build, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build = build

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._build(width, height)
