"""A chart on paper as a list of strokes, marks and labels in pixels: the layout that SVG and PNG share."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.measures.table import measure_text
from engine.plotting.axes import Scene, clipped, error_bars, inside, runs, scene, unit_point
from engine.plotting.figure import Figure, Series, decimate, x_name, y_name
from engine.plotting.palette import MUTED, Style, styles
from engine.plotting.ticks import axis_ticks, row_of_ticks
from engine.text.tables import abbreviate, cell_width

LEAST_WIDTH, LEAST_HEIGHT = 240, 200
LARGEST_SIDE = 8000
LETTER = 0.56
"""Width of an average letter in font sizes; generic fonts differ, and labels have room to spare."""
MARGIN = 18.0
INK, GREY, GRID, BACKGROUND = "#222222", "#555555", "#e4e4e4", "#ffffff"
TITLE, TEXT, SMALL = 16.0, 12.0, 11.0
RADIUS = 4.0
MARK_GAP = 36.0
"""Pixels between the marks of a line too dense to mark every point."""
PIXELS_A_TICK_X, PIXELS_A_TICK_Y = 60, 36


@dataclass(frozen=True)
class Stroke:
    """A line through points, in pixels from the top left."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A marker of a series, one of `palette.SHAPES`, centred on a point."""

    shape: str
    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True)
class Label:
    """Text whose baseline starts, is centred or ends at a point."""

    text: str
    x: float
    y: float
    size: float
    colour: str = INK
    anchor: str = "start"
    bold: bool = False


Item = Stroke | Mark | Label


@dataclass(frozen=True)
class Drawing:
    """Items in the order they are painted, on a white page of `width` × `height` pixels."""

    width: int
    height: int
    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class _Box:
    """The area of the data."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def at(self, place: tuple[float, float]) -> tuple[float, float]:
        return self.left + place[0] * self.width, self.bottom - place[1] * self.height


def layout(figure: Figure, width: int, height: int) -> Drawing:
    """Place everything on a page; sizes are kept within 240 × 200 and 8000 pixels."""
    width = max(LEAST_WIDTH, min(int(width), LARGEST_SIDE))
    height = max(LEAST_HEIGHT, min(int(height), LARGEST_SIDE))
    drawn = scene(figure)
    items: list[Item] = []
    top = MARGIN
    if figure.title:
        top += TITLE
        items.append(Label(_cut(figure.title, width - 2 * MARGIN, TITLE), MARGIN, top - 2, TITLE, bold=True))
        top += 8
    entries, top = _legend(drawn.figure, top, width, height)
    items += entries
    if y_name(figure):
        top += TEXT
        items.append(Label(_cut(y_name(figure), width - 2 * MARGIN, TEXT), MARGIN, top, TEXT, GREY))
    bottom = height - MARGIN - SMALL - 8 - (TEXT + 6 if x_name(figure) else 0)
    ticks = axis_ticks(drawn.y, max(3, int((bottom - top) / PIXELS_A_TICK_Y)))
    left = MARGIN + max((text_width(tick.label, SMALL) for tick in ticks), default=0) + 8
    box = _Box(min(left, width / 3), top + 12, width - MARGIN - 6, max(bottom, top + 40))
    items += _axes(drawn, box)
    if drawn.empty:
        middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        items.append(Label("no values to show", *middle, TEXT, GREY, "middle"))
    else:
        items += _references(drawn, box)
        items += _series(drawn, box)
    return Drawing(width, height, figure.title or y_name(figure) or "chart", tuple(items))


def text_width(text: str, size: float) -> float:
    """About how many pixels a text of this font size takes."""
    return cell_width(text) * size * LETTER


def _cut(text: str, width: float, size: float) -> str:
    return abbreviate(text, max(int(width / (size * LETTER)), 1))


def _axes(drawn: Scene, box: _Box) -> Iterable[Item]:
    for tick in axis_ticks(drawn.y, max(3, int(box.height / PIXELS_A_TICK_Y))):
        _, y = box.at((0, tick.position))
        yield Stroke(((box.left, y), (box.right, y)), GRID, 1)
        yield Label(tick.label, box.left - 8, y + SMALL * 0.35, SMALL, GREY, "end")
    yield Stroke(((box.left, box.bottom), (box.right, box.bottom)), GREY, 1)
    most = max(2, int(box.width / PIXELS_A_TICK_X))
    for tick in row_of_ticks(drawn.x, box.width, lambda text: text_width(text, SMALL), 10, most):
        x, _ = box.at((tick.position, 0))
        half = text_width(tick.label, SMALL) / 2
        yield Stroke(((x, box.bottom), (x, box.bottom + 4)), GREY, 1)
        middle = min(max(x, box.left + half), box.right + MARGIN - half)
        yield Label(tick.label, middle, box.bottom + 8 + SMALL, SMALL, GREY, "middle")
    name = x_name(drawn.figure)
    if name:
        y = box.bottom + 8 + SMALL + 6 + TEXT
        yield Label(_cut(name, box.width, TEXT), (box.left + box.right) / 2, y, TEXT, GREY, "middle")


def _references(drawn: Scene, box: _Box) -> Iterable[Item]:
    for line in drawn.figure.references:
        place = drawn.y.position(line.y)
        if 0 <= place <= 1:
            _, y = box.at((0, place))
            yield Stroke(((box.left, y), (box.right, y)), MUTED.paper, 1.5, (6.0, 4.0))


def _series(drawn: Scene, box: _Box) -> Iterable[Item]:
    """Error bars, lines and marks of each series; later series lie on top."""
    for line, look in zip(drawn.figure.series, styles(drawn.figure), strict=True):
        thinned = decimate(line, int(box.width))
        for bar in error_bars(thinned, drawn.x, drawn.y):
            yield from _bar([box.at(end) for end in bar], look.colour.paper)
        parts = (part for run in runs(thinned, drawn.x, drawn.y) for part in clipped(run) if line.line)
        for part in parts:
            yield Stroke(tuple(box.at(place) for place in part), look.colour.paper, 2, look.dash)
        for x, y in _marked(thinned, drawn, box) if line.marks else ():
            yield Mark(look.shape, x, y, RADIUS, look.colour.paper)


def _bar(ends: list[tuple[float, float]], colour: str) -> Iterable[Stroke]:
    """An error bar with its caps."""
    yield Stroke(tuple(ends), colour, 1.2)
    for x, y in ends:
        yield Stroke(((x - RADIUS, y), (x + RADIUS, y)), colour, 1.2)


def _marked(line: Series, drawn: Scene, box: _Box) -> Iterable[tuple[float, float]]:
    """Places of the marks: every point inside, or on a dense line one every few pixels."""
    places = (unit_point(point, drawn.x, drawn.y) for point in line.points)
    points = [box.at(place) for place in places if place is not None and inside(place)]
    dense = line.line and len(points) * RADIUS * 3 > box.width
    last: float | None = None
    for x, y in points:
        if not dense or last is None or abs(x - last) >= MARK_GAP:
            last = x
            yield x, y


def _legend(figure: Figure, top: float, width: int, height: int) -> tuple[list[Item], float]:
    """Samples and names in rows below the title, on at most 40 % of the page, and where the rows end."""
    items: list[Item] = []
    samples = [*zip(styles(figure), figure.series, strict=True), *(None for _ in figure.references)]
    names = [line.name for line in figure.series]
    names += [f"{line.name} {measure_text(figure.y_measure, line.y)}" for line in figure.references]
    x, y, row = MARGIN, top + TEXT, TEXT + 6
    for i, (name, sample) in enumerate(zip(names, samples, strict=True)):
        text = _cut(name, width - 2 * MARGIN - 34, TEXT)
        needed = 30 + text_width(text, TEXT) + 18
        if x > MARGIN and x + needed > width - MARGIN + 18:
            x, y = MARGIN, y + row
        if y > height * 0.4:
            items.append(Label(f"and {len(names) - i} more", x, y, TEXT, GREY))
            break
        items += [*_sample(sample, x, y - TEXT * 0.35), Label(text, x + 30, y, TEXT)]
        x += needed
    return items, (y + 10 if names else top)


def _sample(of: tuple[Style, Series] | None, x: float, y: float) -> Iterable[Item]:
    """A short piece of a series' line with its mark, or of a reference line."""
    ends = ((x, y), (x + 24, y))
    if of is None:
        yield Stroke(ends, MUTED.paper, 1.5, (6.0, 4.0))
        return
    look, line = of
    if line.line:
        yield Stroke(ends, look.colour.paper, 2, look.dash)
    if line.marks:
        yield Mark(look.shape, x + 12, y, RADIUS, look.colour.paper)
