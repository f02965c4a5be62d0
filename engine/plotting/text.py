"""Charts in a terminal: lines of braille dots with one marker a series, in any size.

`matrix` is what a widget needs (cells with colours), `places` lets a cursor walk the points, and `draw` joins
the chart and its legend into one string for the command line.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TextIO

from engine.measures.table import measure_text
from engine.plotting.axes import Scene, UnitPoint, clipped, error_bars, inside, runs, scene, unit_point
from engine.plotting.axis import NOT_SHOWN, Axis
from engine.plotting.canvas import Line, cell, raster
from engine.plotting.cells import Cell, Rows, spelled
from engine.plotting.figure import Figure, Series, decimate, finite, x_name, y_name
from engine.plotting.legend import fitted, without_note
from engine.plotting.palette import COLOURS, MUTED, SEVERAL, STAR, styles
from engine.plotting.ticks import Tick, axis_ticks, row_of_ticks
from engine.text.tables import abbreviate, cell_width

LEAST_COLUMNS, LEAST_ROWS = 20, 6
"""Below this a chart can't be read and a sentence says more."""
DEFAULT_ROWS = 24
WIDEST = 100
"""Columns beyond which a curve only gets flatter."""
ROWS_A_TICK = 2.4
COLUMNS_A_TICK = 6
CAP_COLUMNS = 2
"""Width of the strokes that end an error bar."""
MARKER_GAP = 10
"""Columns between the markers of a line too dense to mark every point."""

CODES = {colour.terminal: colour.code for colour in (*COLOURS, MUTED)}
HUES = {colour.code: colour.terminal for colour in (*COLOURS, MUTED)}


class Place(NamedTuple):
    """Where `figure.series[series].points[point]` is drawn in the matrix."""

    series: int
    point: int
    column: int
    row: int


@dataclass(frozen=True)
class _Frame:
    """The canvas within the matrix, its ticks, and how a cell divides into dots.

    `over` rows above the canvas the axis goes on, beyond its last tick.
    """

    left: int
    top: int
    over: int
    columns: int
    rows: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[int, int]

    def column(self, x: float) -> int:
        return self.left + cell(x, self.columns, self.dots[0])

    def row(self, y: float) -> int:
        return self.top + self.rows - 1 - cell(y, self.rows, self.dots[1])


def draw(figure: Figure, width: int, height: int, colour: bool, ascii_only: bool = False) -> str:
    """The chart and its legend as at most `height` lines of at most `width` columns.

    With `colour`, ANSI codes for 256 colours; without, characters alone tell everything.
    """
    rows, _ = with_legend(figure, width, height, ascii_only)
    return "\n".join(_ansi(row) if colour else _plain(row) for row in rows)


def draw_for(stream: TextIO, figure: Figure) -> str:
    """`draw` for what is printed to `stream`: in its size, and with the colours and characters that it can show."""
    return draw(figure, *size_for(stream), wants_colour(stream), wants_ascii(stream))


def with_legend(figure: Figure, width: int, height: int, ascii_only: bool = False) -> tuple[Rows, int]:
    """The chart and its legend below in at most `height` rows, and how many of them are the chart's own."""
    names = fitted(figure, width, height, ascii_only)
    if width < LEAST_COLUMNS or height < LEAST_ROWS + len(names):
        names = []
    rows = matrix(figure, width, height - len(names), ascii_only)
    if not any(cell.char == SEVERAL for row in rows for cell in row):
        names = without_note(names)
    return [*rows, *names], len(rows)


def size_for(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of a chart printed to this stream: the terminal's width up to 100, and 24 rows."""
    columns = shutil.get_terminal_size((80, DEFAULT_ROWS)).columns if stream.isatty() else 80
    return min(max(columns, 1), WIDEST), DEFAULT_ROWS


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what is printed to a stream: a terminal, not dumb, `NO_COLOR` not set."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def wants_ascii(stream: TextIO) -> bool:
    """Whether a stream can't show braille dots, as under `LANG=C`."""
    try:
        "⣿×…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def matrix(figure: Figure, width: int, height: int, ascii_only: bool = False) -> Rows:
    """The chart without legend as `height` rows of `width` cells; a sentence below 20 × 6."""
    if width <= 0 or height <= 0:
        return []
    if width < LEAST_COLUMNS or height < LEAST_ROWS:
        return _sentence(figure, width, height, ascii_only)
    drawn = scene(figure)
    frame = _frame(drawn, width, height, ascii_only)
    grid = [[Cell(" ")] * width for _ in range(height)]
    _draw_axes(grid, drawn, frame, ascii_only)
    if drawn.empty:
        text = spelled(_nothing(figure), ascii_only)[: frame.columns]
        column = frame.left + (frame.columns - len(text)) // 2
        _write(grid, frame.top + frame.rows // 2, column, text, MUTED.terminal)
    else:
        _draw_references(grid, drawn, frame, ascii_only)
        _draw_series(grid, drawn, frame, ascii_only)
    return grid


def places(figure: Figure, width: int, height: int, ascii_only: bool = False) -> tuple[Place, ...]:
    """The cell of every point that `matrix` of the same arguments shows: by series, in the order given.

    Series without marks have none.
    """
    if width < LEAST_COLUMNS or height < LEAST_ROWS:
        return ()
    drawn = scene(figure)
    frame = _frame(drawn, width, height, ascii_only)
    marked = [i for i, line in enumerate(drawn.figure.series) if line.marks and line.marker != STAR]
    return tuple(place for i in marked for place in _places(drawn, frame, i))


def _frame(drawn: Scene, width: int, height: int, ascii_only: bool) -> _Frame:
    figure = drawn.figure
    top = int(bool(figure.title) and height >= 12) + int(bool(y_name(figure)) and height >= 8)
    bottom = 2 + int(bool(x_name(figure)) and height >= 10)
    rows = height - top - bottom
    dots = (1, 1) if ascii_only else (2, 4)
    y_ticks, over = _even(drawn.y, rows, dots[1])
    y_ticks = tuple(tick._replace(label=spelled(tick.label, ascii_only)) for tick in y_ticks)
    left = 1 + min(max((len(tick.label) for tick in y_ticks), default=0), width // 3)
    columns = width - left
    x_ticks = row_of_ticks(drawn.x, columns, cell_width, 2, max(2, columns // COLUMNS_A_TICK))
    return _Frame(left, top + over, over, columns, rows - over, x_ticks, y_ticks, dots)


def _even(axis: Axis, rows: int, dots: int) -> tuple[tuple[Tick, ...], int]:
    """Ticks of y with the same number of rows between any two, and how many of the rows are left over for that.

    Few rows left over are as good as many ticks.
    """
    most = max(2, int(rows / ROWS_A_TICK))
    finest = axis_ticks(axis, most)
    if axis.scale != "linear" or axis.categories:
        return finest, 0
    ways = [
        (ticks, over)
        for ticks in dict.fromkeys(axis_ticks(axis, count) for count in range(most, 2, -1))
        for over in range(rows // 4 + 1)
        if _evenly(ticks, rows - over, dots)
    ]
    return min(ways, key=lambda way: way[1] / rows + 1 / len(way[0]), default=(finest, 0))


def _evenly(ticks: Sequence[Tick], rows: int, dots: int) -> bool:
    """Whether as many rows lie between any two neighbours, of which there are more than one."""
    places = [cell(tick.position, rows, dots) for tick in ticks]
    return len(places) > 2 and len({after - before for before, after in pairwise(places)}) == 1


def _draw_axes(grid: Rows, drawn: Scene, frame: _Frame, ascii_only: bool) -> None:
    width, ink = len(grid[0]), MUTED.terminal
    side, y_mark, corner, base, x_mark, dot = "|++-+ " if ascii_only else "│┤└─┬·"
    figure, floor = drawn.figure, frame.top + frame.rows
    if figure.title and len(grid) >= 12:
        _write(grid, 0, 0, abbreviate(spelled(figure.title, ascii_only), width), None)
    if above := frame.top - frame.over:
        _write(grid, above - 1, 0, abbreviate(spelled(y_name(figure), ascii_only), width), ink)
    for row in range(frame.top - frame.over, floor):
        _write(grid, row, frame.left - 1, side, ink)
    _write(grid, floor, frame.left - 1, corner + base * frame.columns, ink)
    for tick in frame.y_ticks:
        row = frame.row(tick.position)
        label = abbreviate(tick.label, frame.left - 1)
        _write(grid, row, frame.left - 1 - len(label), label + y_mark, None)
        grid[row][frame.left - 1] = Cell(y_mark, ink)
        for column in (frame.column(x_tick.position) for x_tick in frame.x_ticks):
            grid[row][column] = Cell(dot, ink)
    for tick in frame.x_ticks:
        _write(grid, floor, frame.column(tick.position), x_mark, ink)
        label = spelled(tick.label, ascii_only)
        start = frame.column(tick.position) - (len(label) - 1) // 2
        _write(grid, floor + 1, max(frame.left, min(start, width - len(label))), label, None)
    if floor + 2 < len(grid):
        name = abbreviate(spelled(x_name(figure), ascii_only), frame.columns)
        _write(grid, floor + 2, frame.left + (frame.columns - len(name)) // 2, name, ink)


def _draw_references(grid: Rows, drawn: Scene, frame: _Frame, ascii_only: bool) -> None:
    for line in drawn.figure.references:
        height = drawn.y.position(line.y)
        if 0 <= height <= 1:
            dash = ("-" if ascii_only else "╌") * frame.columns
            _write(grid, frame.row(height), frame.left, dash, MUTED.terminal)


def _draw_series(grid: Rows, drawn: Scene, frame: _Frame, ascii_only: bool) -> None:
    looks, bright = styles(drawn.figure), drawn.figure.bright
    # What is drawn last is seen where lines meet.
    order = sorted(range(len(looks)), key=lambda i: i == bright)
    dots, bar = (".", "|") if ascii_only else ("braille", "braille")
    lines = []
    for line, look in ((decimate(drawn.figure.series[i], frame.columns), looks[i]) for i in order):
        for ends in error_bars(line, drawn.x, drawn.y):
            lines += [Line(ends, look.colour.code, bar), *_caps(ends, frame, look.colour.code, ascii_only)]
        parts = (part for run in runs(line, drawn.x, drawn.y) for part in clipped(run) if line.line)
        lines += [Line(part, look.colour.code, dots) for part in parts]
    for row, cells in enumerate(raster(lines, frame.columns, frame.rows)):
        for column, (char, code) in enumerate(cells):
            if char != " ":
                grid[frame.top + row][frame.left + column] = Cell(char, HUES.get(code or 0))
    marked: dict[tuple[int, int], int] = {}
    for i, look in ((i, looks[i]) for i in order if drawn.figure.series[i].marks):
        for place in _marked(list(_places(drawn, frame, i)), frame, drawn.figure.series[i]):
            owner = marked.setdefault((place.row, place.column), i)
            glyph = look.ascii_glyph if ascii_only else look.glyph
            shared = owner != i and i != bright and look.shape != STAR
            grid[place.row][place.column] = Cell(
                SEVERAL if shared else glyph, None if shared else look.colour.terminal
            )


def _caps(ends: list[UnitPoint], frame: _Frame, code: int, ascii_only: bool) -> list[Line]:
    """Short strokes across both ends of an error bar, which would look like a part of the line else."""
    half = CAP_COLUMNS / 2 / frame.columns
    marker = "-" if ascii_only else "braille"
    return [Line([(max(x - half, 0.0), y), (min(x + half, 1.0), y)], code, marker) for x, y in ends]


def _places(drawn: Scene, frame: _Frame, index: int) -> Iterable[Place]:
    for j, point in enumerate(drawn.figure.series[index].points):
        place = unit_point(point, drawn.x, drawn.y)
        if place is not None and inside(place):
            yield Place(index, j, frame.column(place[0]), frame.row(place[1]))


def _marked(places: list[Place], frame: _Frame, line: Series) -> Iterable[Place]:
    """The points that get a marker: all, or on a dense line one every few columns."""
    if not line.line or len(places) * 2 <= frame.columns:
        yield from places
        return
    last = None
    for place in places:
        if last is None or abs(place.column - last) >= MARKER_GAP:
            last = place.column
            yield place


def _nothing(figure: Figure) -> str:
    if any(point.y is not None for line in figure.series for point in line.points):
        left_out = dict.fromkeys(NOT_SHOWN[scale] for scale in (figure.x_scale, figure.y_scale))
        where = " or ".join(filter(None, left_out))
        return f"all values are {where}: no place on the scale" if where else "no finite values to show"
    return "no values yet"


def _sentence(figure: Figure, width: int, height: int, ascii_only: bool) -> Rows:
    """What a window too small for the chart says instead."""
    values = [y for line in figure.series for point in line.points if (y := finite(point.y)) is not None]
    low, high = (measure_text(figure.y_measure, end(values, default=None)) for end in (min, max))
    extent = f"{low} to {high}" if values else "no values yet"
    words = spelled(
        f"{y_name(figure) or 'chart'}: {extent} (window too small for a chart)", ascii_only
    ).split()
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()[:width]
    return [[Cell(char) for char in line.ljust(width)] for line in lines[:height]]


def _write(grid: Rows, row: int, column: int, text: str, fg: str | None) -> None:
    """Put text into the grid; what falls outside is left out."""
    if not 0 <= row < len(grid):
        return
    for i, char in enumerate(text, start=column):
        if 0 <= i < len(grid[row]):
            grid[row][i] = Cell(char, fg)


def _plain(row: Iterable[Cell]) -> str:
    return "".join(part.char for part in row).rstrip()


def _ansi(row: list[Cell]) -> str:
    """The row with an escape code where the colour changes, and the terminal's own colour at its end."""
    while row and row[-1].char == " ":
        row = row[:-1]
    text, current = "", None
    for part in row:
        if part.fg != current and part.char != " ":
            code = CODES.get(part.fg or "")
            text += "\x1b[39m" if code is None else f"\x1b[38;5;{code}m"
            current = part.fg
        text += part.char
    return text + ("\x1b[39m" if current else "")
