"""The plot widget: a figure as terminal cells, of which only changed spans are sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from engine.charts import pareto
from engine.plotting.axes import scene
from engine.plotting.axis import Axis, placeable
from engine.plotting.cells import Cell, Rows
from engine.plotting.figure import Figure, Limits, decimate, finite
from engine.plotting.palette import COLOURS, MUTED
from engine.plotting.text import Place, places, with_legend
from tui.keys.table import bindings
from tui.patches import letters
from tui.widgets.painted import Line, Painted

MOST_COLOURS = len(COLOURS)
"""Lines from which on colours repeat: then the cursor's line alone has its own."""
MOST_POINTS = 4000
"""Points of a line beyond which it is thinned; many more than there are columns, so that zooming shows detail."""
PAN = 0.25
"""Part of the axis that one key moves."""
UNDRAWABLE = (ArithmeticError, ValueError, TypeError, LookupError)
"""What odd data could cause in a drawing; it must not end the program from inside an event."""
View = tuple[Limits | None, Limits | None]


class Plot(Painted, can_focus=True):
    """Shows a figure with its legend below; never raises, whatever the data."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("plot")

    class Moved(Message):
        """The cursor stands on another point; None: it is off."""

        def __init__(self, plot: "Plot", series: int | None, point: int | None) -> None:
            super().__init__()
            self.plot, self.series, self.point = plot, series, point

        @property
        def control(self) -> "Plot":
            return self.plot

    class Zoomed(Message):
        """Another part of the figure is shown, or all of it again."""

    class Chosen(Moved):
        """Enter was pressed on a point."""

    def __init__(self, empty: str = "no values yet", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._figure = Figure()
        self._of: object = None
        self._waiting = self._empty = empty
        self._kept: View = (None, None)
        self._zoomed: View = (None, None)
        self._cursor: tuple[int, int] | None = None
        self._cached: tuple[tuple[Figure, int, int, str], Rows, tuple[Place, ...]] | None = None
        self._joined: Rows | None = None
        self._lines: Sequence[Line] = ()
        self._indices: dict[int, list[int]] = {}

    def show(
        self, figure: Figure, of: object = None, *, live: bool = False, ended: str = "", waits: str = ""
    ) -> None:
        """Show `figure`. While `live`, axes only grow, so that a new point changes few cells.

        `of`: what the figure shows, a study and what is drawn of it. Axes, zoom and cursor are this one's: where it is
        another than before, all of the figure is shown, on axes of its own. `ended`: why there is no value, where none
        will come; what became of the study is said beside it, on the lines that the plot leaves free. `waits`: what it
        waits for, where that is not the plot's own reason to be empty.
        """
        self._empty = ended or waits or self._waiting
        self.set_class(bool(ended) and not any(line.points for line in figure.series), "-without")
        figure, self._indices = _thinned(figure)
        self._figure = figure
        if of != self._of:
            self._of, self._kept = of, (None, None)
            self._zoom_to(None, None)
            self._put(None)
        self._kept = self._grown(figure) if live else (None, None)
        if self._cursor and not self._exists(*self._cursor):
            self._put(None)
        self.redraw()

    def clear(self) -> None:
        """Show no figure."""
        self.show(Figure())

    @property
    def shown(self) -> Figure:
        """The figure with the limits on screen."""
        x, y = (zoom or kept for zoom, kept in zip(self._zoomed, self._kept, strict=True))
        return replace(self._figure, x_limits=x or self._figure.x_limits, y_limits=y or self._figure.y_limits)

    @property
    def zoomed(self) -> bool:
        """Whether a part of the figure was chosen."""
        return self._zoomed != (None, None)

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Series and point under the cursor, as places in the figure that `show` was given."""
        return self._given(self._cursor)

    def _given(self, cursor: tuple[int, int] | None) -> tuple[int, int] | None:
        if cursor is None or cursor[0] not in self._indices:
            return cursor
        return cursor[0], self._indices[cursor[0]][cursor[1]]

    def lines(self, width: int, height: int) -> Sequence[Line]:
        wanted = (self._lit(), width, height, self._empty)
        if self._cached is None or self._cached[0] != wanted:
            try:
                self._cached = (wanted, *self._drawn(width, height))
            except UNDRAWABLE as error:
                self._cached = (wanted, [[Cell(char) for char in _undrawable(error)]], ())
        _, rows, places = self._cached
        at = next((p for p in places if (p.series, p.point) == self._cursor), None)
        lines = [_line(row) for row in rows[:height]] if self._joined is not rows else self._lines
        self._joined, self._lines = rows, lines
        if at is None:
            return lines
        row = list(rows[at.row])
        row[at.column] = row[at.column]._replace(bg="reverse")
        return [*lines[: at.row], _line(row), *lines[at.row + 1 :]]

    def _lit(self) -> Figure:
        """What is shown, of many lines the cursor's bright."""
        many = self._cursor is not None and len(self._figure.series) > MOST_COLOURS
        return replace(self.shown, bright=self._cursor[0] if many and self._cursor else None)

    def _drawn(self, width: int, height: int) -> tuple[Rows, tuple[Place, ...]]:
        """Chart and legend as cells, and where the points are."""
        figure = self._lit()
        if not figure.series and not figure.references:
            return [[Cell(char) for char in self._empty[:width]]], ()
        rows, chart = with_legend(figure, width, height, letters.ON)
        return rows, places(figure, width, chart, letters.ON)

    def _grown(self, figure: Figure) -> View:
        """Limits that hold the new figure: those before, if they do."""
        try:
            drawn = scene(figure)
        except UNDRAWABLE:
            return self._kept
        kept = [_union(before, axis) for before, axis in zip(self._kept, (drawn.x, drawn.y), strict=True)]
        return (kept[0], kept[1]) if not drawn.empty else (None, None)

    def _places(self) -> tuple[Place, ...]:
        """Where the points are on screen."""
        return self._cached[2] if self._cached else ()

    def _exists(self, series: int, point: int) -> bool:
        lines = self._figure.series
        return series < len(lines) and point < len(lines[series].points)

    def _put(self, cursor: tuple[int, int] | None) -> None:
        self._cursor = cursor
        self.redraw()
        self.post_message(self.Moved(self, *(self.cursor or (None, None))))

    def clicked(self, x: int, y: int, times: int) -> None:
        """A click goes to the nearest point, a second one opens its trial."""
        if places := self._places():
            near = min(places, key=lambda place: (place.column - x) ** 2 + (2 * (place.row - y)) ** 2)
            self._put((near.series, near.point))
            if times > 1:
                self.action_choose()

    def action_step(self, by: int) -> None:
        places = self._places()
        if not places:
            return
        if self._cursor is None:
            first = places[0] if by > 0 else places[-1]
            self._put((first.series, first.point))
            return
        line = [p for p in places if p.series == self._cursor[0]] or places
        points = [p.point for p in line]
        here = points.index(self._cursor[1]) if self._cursor[1] in points else 0
        to = line[max(0, min(here + by, len(line) - 1))]
        self._put((to.series, to.point))

    def action_line(self, by: int) -> None:
        places = self._places()
        if self._cursor is None or not places:
            self.action_step(1)
            return
        order = sorted({p.series for p in places})
        here = order.index(self._cursor[0]) if self._cursor[0] in order else 0
        series = order[(here + by) % len(order)]
        column = next((p.column for p in places if (p.series, p.point) == self._cursor), 0)
        to = min((p for p in places if p.series == series), key=lambda p: abs(p.column - column))
        self._put((to.series, to.point))

    def action_choose(self) -> None:
        if self._cursor is None:
            self.action_step(1)
        else:
            self.post_message(self.Chosen(self, *(self.cursor or self._cursor)))

    def action_zoom(self, factor: float) -> None:
        """Show `factor` times as much of both axes, around the cursor or the middle."""
        drawn = scene(self.shown)
        x, y = 0.5, 0.5
        if self._cursor:
            point = drawn.figure.series[self._cursor[0]].points[self._cursor[1]]
            px, py = finite(point.x), finite(point.y)
            x = drawn.x.position(px) if px is not None else x
            y = drawn.y.position(py) if py is not None else y
        self._zoom_to(
            _part(drawn.x, x - x * factor, x + (1 - x) * factor),
            _part(drawn.y, y - y * factor, y + (1 - y) * factor),
        )

    def action_pan(self, right: int, up: int) -> None:
        drawn = scene(self.shown)
        self._zoom_to(_part(drawn.x, right * PAN, 1 + right * PAN), _part(drawn.y, up * PAN, 1 + up * PAN))

    def action_front(self) -> None:
        """Show the part of the Pareto front that one would choose from."""
        part = pareto.zoomed(self._figure)
        self._zoom_to(part.x_limits, part.y_limits)

    def action_reset(self) -> None:
        self._zoom_to(None, None)

    def _zoom_to(self, x: Limits | None, y: Limits | None) -> None:
        self._zoomed = (x, y)
        self.redraw()
        self.post_message(self.Zoomed())


def drawn(figure: Figure, width: int, height: int) -> list[Line]:
    """A figure and its legend as lines, for where there is nothing to zoom or to walk along."""
    figure, _ = _thinned(figure)
    try:
        rows, _ = with_legend(figure, width, height, letters.ON)
    except UNDRAWABLE as error:
        return [[(_undrawable(error), "muted")]]
    return [_line(row) for row in rows]


def _undrawable(error: Exception) -> str:
    return f"This can't be drawn: {type(error).__name__} {error}"


def _thinned(figure: Figure) -> tuple[Figure, dict[int, list[int]]]:
    """The figure without points that could not be seen, and for lines so thinned the places they had."""
    lines, indices = list(figure.series), {}
    for place, line in enumerate(lines):
        if len(line.points) > MOST_POINTS:
            lines[place] = decimate(line, MOST_POINTS // 4)
            where = {id(point): i for i, point in enumerate(line.points)}
            indices[place] = [where[id(point)] for point in lines[place].points]
    return (replace(figure, series=tuple(lines)), indices) if indices else (figure, {})


def _part(axis: Axis, low: float, high: float) -> Limits | None:
    """The limits of a part of an axis, 0..1 being what is shown now; None where it has no numbers."""
    return None if axis.categories else (axis.value(low), axis.value(high))


def _union(before: Limits | None, axis: Axis) -> Limits | None:
    if axis.categories:
        return None
    if before is None or not all(placeable(end, axis.scale) for end in before):
        return axis.low, axis.high
    return min(before[0], axis.low), max(before[1], axis.high)


def _line(row: Sequence[Cell]) -> Line:
    """Cells joined to spans of one look."""
    spans: list[tuple[str, str]] = []
    for cell in row:
        ink = "muted" if cell.fg == MUTED.terminal else cell.fg or ""  # grey enough to be read in every theme
        role = f"{ink}{' reverse bold' if cell.bg else ''}".strip()
        if spans and spans[-1][1] == role:
            spans[-1] = (spans[-1][0] + cell.char, role)
        else:
            spans.append((cell.char, role))
    return spans
