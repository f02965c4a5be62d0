"""Lines as characters, by plotext: the only module that knows plotext, and its global state."""

import re
from collections.abc import Sequence
from math import floor
from threading import Lock
from typing import NamedTuple

from engine.plotting.axes import UnitPoint

CanvasCell = tuple[str, int | None]
"""A character and its number among the 256 colours, or None for the terminal's own."""

_PLOTEXT = Lock()
"""plotext draws into one figure of its own: two threads must not draw at once."""


_PARTS = re.compile(r"\x1b\[([0-9;]*)m|(.)")
_COLOUR = re.compile("38;5;([0-9]+)")
"""What sets one of the 256 colours; any other sequence goes back to the terminal's own."""


class Line(NamedTuple):
    """A line in the unit square. `marker` is plotext's: `braille` for 2 × 4 dots a cell, or any character."""

    points: Sequence[UnitPoint]
    colour: int
    marker: str = "braille"


def raster(lines: Sequence[Line], columns: int, rows: int) -> list[list[CanvasCell]]:
    """Draw lines on `rows` × `columns` cells, top row first; where two meet, the later one is seen."""
    import plotext  # here because it takes 0.08 s, which commands that draw nothing need not pay

    with _PLOTEXT:
        plotext.clear_figure()
        plotext.limit_size(False, False)  # after clearing, which limits the size to the terminal's again
        plotext.theme("clear")
        plotext.plot_size(columns, rows)
        plotext.xaxes(False, False)
        plotext.yaxes(False, False)
        plotext.xticks([], [])
        plotext.yticks([], [])
        plotext.xlim(0, 1)
        plotext.ylim(0, 1)
        for line in lines:
            xs, ys = [x for x, _ in line.points], [y for _, y in line.points]
            plotext.plot(xs, ys, marker=line.marker, color=line.colour)
        return _cells(plotext.build(), rows)


def _cells(drawn: str, rows: int) -> list[list[CanvasCell]]:
    """The characters of what plotext built, each with the colour that its escape sequences set."""
    cells: list[list[CanvasCell]] = []
    for line in drawn.split("\n")[:rows]:
        row: list[CanvasCell] = []
        ink: int | None = None
        for sequence, char in _PARTS.findall(line):
            if char:
                row.append((char, ink if char != " " else None))
            else:
                colour = _COLOUR.match(sequence)
                ink = int(colour[1]) if colour else None
        cells.append(row)
    return cells


def cell(position: float, cells: int, dots: int) -> int:
    """The cell, counted from the axis' low end, in which plotext draws a position of the unit axis.

    `dots` is the number of dots a cell has along the axis; 2 and 4 for braille.
    """
    return floor(round(0.5 + (cells * dots - 1) * position, 8)) // dots
