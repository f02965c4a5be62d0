"""What a chart shows: named series of points over one pair of axes, independent of how it is drawn.

Points are kept as given; a value that is None, NaN or infinite is a gap. Nothing here raises on
odd data, because a chart is drawn while a study is still running and inside the terminal lab, where
an exception would end the program.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.measures.table import measure
from engine.plotting.axis import NAMES, Scale

X = float | str | None
Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series; `deviation` is the standard deviation of `y` over seeds, an error bar.

    `owner` is what the point stands for, of whatever type who made the figure chose. No drawing looks at it: points,
    and so figures, are equal where they look alike, whatever they stand for.
    """

    x: X
    y: float | None
    deviation: float | None = None
    owner: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Series:
    """Points under one name, joined by a line in the order given.

    `marker` is one of `palette.SHAPES`; without it the series' place in the figure decides. Without `marks`
    the line alone is drawn, as for a Pareto front through points that have their markers already.
    """

    name: str
    points: tuple[Point, ...]
    marker: str = ""
    line: bool = True
    marks: bool = True


class Reference(NamedTuple):
    """A horizontal line to compare with, such as the baseline."""

    name: str
    y: float


@dataclass(frozen=True)
class Figure:
    """A chart. `x_measure` and `y_measure` name the measures whose format the ticks get.

    Any text among the x values makes the axis categorical: values become positions in order of
    appearance. What a scale has no place for is a gap: 0 and below on a log axis, 100 % on one of errors. Fixed
    limits keep a live chart still.
    """

    title: str = ""
    x_label: str = ""
    y_label: str = ""
    series: tuple[Series, ...] = ()
    references: tuple[Reference, ...] = ()
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_limits: Limits | None = None
    y_limits: Limits | None = None
    x_measure: str = ""
    y_measure: str = ""
    bright: int | None = None
    """The series drawn in its colour, above the others, which are grey; None: each has its own."""


def x_name(figure: Figure) -> str:
    """What the x axis is called: its label, or that of its measure, and its scale where that is not seen at once."""
    return _named(figure.x_label, figure.x_measure, figure.x_scale)


def y_name(figure: Figure) -> str:
    """What the y axis is called, as `x_name`."""
    return _named(figure.y_label, figure.y_measure, figure.y_scale)


def _named(label: str, name: str, scale: Scale) -> str:
    label = label or (measure(name).label if name else "")
    return f"{label} ({NAMES[scale]} scale)" if label and scale == "error" else label


def finite(value: object) -> float | None:
    """The value as a float, or None where it is no finite number."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def decimate(line: Series, columns: int) -> Series:
    """The series with at most the minimum and maximum of two bins a column, its ends, and its gaps.

    What is dropped could not be seen: every extreme that would be drawn is kept, in the order given.
    Points whose x is text are left as they are.
    """
    bins = 2 * max(columns, 1)
    if len(line.points) <= 2 * bins or any(isinstance(point.x, str) for point in line.points):
        return line
    drawn = [i for i, point in enumerate(line.points) if _visible(point)]
    if not drawn:
        return replace(line, points=())
    return replace(line, points=tuple(_with_gaps(line.points, sorted(_extremes(line.points, drawn, bins)))))


def _visible(point: Point) -> bool:
    return finite(point.x) is not None and finite(point.y) is not None


def _extremes(points: Sequence[Point], drawn: Sequence[int], bins: int) -> set[int]:
    """Indices of the lowest and highest y in each bin of x, and of both ends."""
    xs = [_number(points[i].x) for i in drawn]
    low, high = min(xs), max(xs)
    width = (high / 2 - low / 2) or 1.0
    lowest: dict[int, int] = {}
    highest: dict[int, int] = {}
    for i, x in zip(drawn, xs, strict=True):
        place = min(int((x / 2 - low / 2) / width * bins), bins - 1)
        y = _number(points[i].y)
        if place not in lowest or y < _number(points[lowest[place]].y):
            lowest[place] = i
        if place not in highest or y > _number(points[highest[place]].y):
            highest[place] = i
    return {drawn[0], drawn[-1], *lowest.values(), *highest.values()}


def _with_gaps(points: Sequence[Point], kept: Sequence[int]) -> Iterable[Point]:
    """The kept points, with one gap between two of them where the original had any."""
    before = kept[0]
    for i in kept:
        gap = next((k for k in range(before + 1, i) if not _visible(points[k])), None)
        if gap is not None:
            yield points[gap]
        yield points[i]
        before = i


def _number(value: X) -> float:
    return finite(value) or 0.0
