"""From values to places: the limits of the axes, and every value's position in the unit square.

All drawings share this module, so that a chart has the same limits, gaps and clipping everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from engine.measures.table import Kind, measure
from engine.plotting.axis import Axis, Scale, distance, placeable, value_at
from engine.plotting.figure import Figure, Limits, Point, Reference, Series, finite
from engine.plotting.ticks import nice_step, snap
from engine.text.numbers import number

LARGEST = 1e300
"""Values are drawn as if no larger, so that no difference of two overflows."""
SMALLEST = 1e-300
SAME = 1e-9
"""Relative spans below this count as one value: ticks finer than that can't be written."""
MARGIN = 0.02
"""Part of the axis kept free on both sides, so that no marker touches the frame."""
INTERVALS = 8
"""The most intervals an automatic axis has; its ends lie on ticks, so fewer would leave more of it empty."""

POSSIBLE: dict[Kind, Limits] = {
    "fraction": (0.0, 1.0),
    **dict.fromkeys(("count", "bytes", "milliseconds", "seconds", "ratio", "rate"), (0.0, LARGEST)),
}
"""What values can be: a deviation says nothing about values beyond."""

UnitPoint = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """A figure ready to be drawn: numeric x, gaps as None, both axes settled.

    `figure.series[i].points[j]` is the same point as in the figure it was made from.
    """

    figure: Figure
    x: Axis
    y: Axis
    empty: bool


def scene(figure: Figure) -> Scene:
    """Settle positions, gaps and limits of a figure. Raises nothing, whatever the data."""
    categories = _categories(figure)
    places = {name: float(i) for i, name in enumerate(categories)}
    lines = tuple(
        replace(
            line,
            points=tuple(_drawable(point, places, figure) for point in line.points),
            line=line.line and not categories,  # categories have no order: nothing lies between two of them
        )
        for line in figure.series
    )
    references = tuple(
        Reference(line.name, value)
        for line in figure.references
        if (value := _axis_value(line.y, figure.y_scale)) is not None
    )
    points = [point for line in lines for point in line.points if point.y is not None]
    x = _x_axis(figure, [x for point in points if (x := finite(point.x)) is not None], categories)
    heights = [end for point in points for end in _ends(point, figure.y_measure)]
    y = _y_axis(figure, [*heights, *(line.y for line in references)])
    return Scene(replace(figure, series=lines, references=references), x, y, empty=not points)


def runs(line: Series, x: Axis, y: Axis) -> list[list[UnitPoint]]:
    """The series as unbroken runs of unit positions; a gap ends a run."""
    segments: list[list[UnitPoint]] = [[]]
    for point in line.points:
        place = unit_point(point, x, y)
        if place is not None:
            segments[-1].append(place)
        elif segments[-1]:
            segments.append([])
    return [run for run in segments if run]


def unit_point(point: Point, x: Axis, y: Axis) -> UnitPoint | None:
    """Where a scene's point lies in the unit square (it may lie outside), or None for a gap."""
    if not isinstance(point.x, float) or point.y is None:
        return None
    return x.position(point.x), y.position(point.y)


def error_bars(line: Series, x: Axis, y: Axis) -> list[list[UnitPoint]]:
    """A vertical segment from mean - deviation to mean + deviation for each point that has one, clipped to the
    chart and to values that the measure can have."""
    bars = []
    for point in line.points:
        if isinstance(point.x, float) and point.y is not None and point.deviation:
            place = x.position(point.x)
            bars += clipped([(place, y.position(end)) for end in _ends(point, y.measure)])
    return bars


def inside(place: UnitPoint) -> bool:
    """Whether a unit position lies on the chart, its edges included."""
    return 0 <= place[0] <= 1 and 0 <= place[1] <= 1


def clipped(run: Sequence[UnitPoint]) -> list[list[UnitPoint]]:
    """The parts of a run that lie in the unit square, cut at its edges; a lone point is a part of no length.

    >>> clipped([(0.5, 0.5), (0.5, 2.5)])
    [[(0.5, 0.5), (0.5, 1.0)]]
    """
    if len(run) == 1 and inside(run[0]):
        return [[run[0], run[0]]]
    parts: list[list[UnitPoint]] = []
    for start, end in pairwise(run):
        piece = _clip(start, end)
        if piece is None:
            continue
        if parts and parts[-1][-1] == piece[0]:
            parts[-1].append(piece[1])
        else:
            parts.append([*piece])
    return parts


def _clip(start: UnitPoint, end: UnitPoint) -> tuple[UnitPoint, UnitPoint] | None:
    """One segment cut to the unit square (Liang and Barsky, 1984), or None if it lies outside."""
    first, last = 0.0, 1.0
    for from_, to in zip(start, end, strict=True):
        change = to - from_
        if change == 0:
            if not 0 <= from_ <= 1:
                return None
            continue
        enter, leave = sorted((-from_ / change, (1 - from_) / change))
        first, last = max(first, enter), min(last, leave)
    if first > last:
        return None
    return (start if first == 0 else _along(start, end, first)), (
        end if last == 1 else _along(start, end, last)
    )


def _along(start: UnitPoint, end: UnitPoint, part: float) -> UnitPoint:
    x, y = (a + (b - a) * part for a, b in zip(start, end, strict=True))
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def _categories(figure: Figure) -> tuple[str, ...]:
    values = [point.x for line in figure.series for point in line.points]
    if not any(isinstance(value, str) for value in values):
        return ()
    return tuple(dict.fromkeys(text for value in values if (text := _category(value)) is not None))


def _category(value: object) -> str | None:
    if isinstance(value, str):
        return value
    plain = finite(value)
    return None if plain is None else number(plain)


def _drawable(point: Point, places: dict[str, float], figure: Figure) -> Point:
    """The point with float coordinates on the chart's scale; what can't be drawn is a gap."""
    x = places.get(_category(point.x) or "") if places else _axis_value(point.x, figure.x_scale)
    y = _axis_value(point.y, figure.y_scale)
    deviation = finite(point.deviation)
    if x is None or y is None:
        return Point(None, None, owner=point.owner)
    return Point(x, y, min(abs(deviation), LARGEST) if deviation else None, point.owner)


def _axis_value(value: object, scale: Scale) -> float | None:
    plain = finite(value)
    if plain is None or not placeable(plain, scale):
        return None
    if abs(plain) < SMALLEST:
        return SMALLEST if scale == "log" else 0.0
    return max(-LARGEST, min(LARGEST, plain))


def _ends(point: Point, name: str) -> Limits:
    """The ends of a point's error bar within what the measure can be; both its y where it has none."""
    y = point.y or 0.0
    low, high = POSSIBLE.get(measure(name).kind, (-LARGEST, LARGEST))
    spread = point.deviation or 0.0
    return max(y - spread, min(low, y)), min(y + spread, max(high, y))


def _x_axis(figure: Figure, values: list[float], categories: tuple[str, ...]) -> Axis:
    if categories:
        return Axis(-0.5, len(categories) - 0.5, categories=categories)
    scale, fixed = figure.x_scale, _fixed(figure.x_limits, figure.x_scale)
    linear = scale == "linear"
    whole = linear and all(value.is_integer() for value in values) and not measure(figure.x_measure).unit
    low, high = fixed or (_padded(*_span(values)) if linear else _log_limits(values, scale))
    return Axis(low, high, scale, figure.x_measure, (), whole)


def _y_axis(figure: Figure, values: list[float]) -> Axis:
    scale, fixed = figure.y_scale, _fixed(figure.y_limits, figure.y_scale)
    known = measure(figure.y_measure)
    if scale != "linear":
        low, high = fixed or _log_limits([value for value in values if placeable(value, scale)], scale)
    elif fixed:
        low, high = fixed
    else:
        anchored = [*values, 0.0] if known.from_zero and values else values
        low, high = _nice(*_span(anchored))
        if known.kind == "fraction" and values and min(values) >= 0 and max(values) <= 1:
            low, high = max(low, 0.0), min(high, 1.0)
    return Axis(low, high, scale, figure.y_measure)


def _fixed(limits: Limits | None, scale: Scale) -> Limits | None:
    """Limits as asked for, or None where they make no axis: not finite, equal, or without a place on its scale."""
    if limits is None:
        return None
    ends = [_axis_value(end, scale) for end in limits]
    low, high = (
        min((e for e in ends if e is not None), default=0.0),
        max((e for e in ends if e is not None), default=0.0),
    )
    if None in ends or not high - low > SAME * max(abs(low), abs(high)):
        return None
    return (low, high) if distance(low, scale) < distance(high, scale) else None


def _span(values: Sequence[float]) -> Limits:
    """Lowest and highest value, widened around a constant."""
    if not values:
        return 0.0, 1.0
    low, high = max(min(values), -LARGEST), min(max(values), LARGEST)
    largest = max(abs(low), abs(high))
    if largest == 0:
        return 0.0, 1.0
    if high - low > SAME * largest:
        return low, high
    return low - largest * 0.1, high + largest * 0.1


def _padded(low: float, high: float) -> Limits:
    room = (high - low) * MARGIN
    return low - room, high + room


def _nice(low: float, high: float) -> Limits:
    """The limits moved outwards to ticks."""
    step = nice_step((high - low) / INTERVALS)
    return snap(math.floor(low / step + SAME), step), snap(math.ceil(high / step - SAME), step)


def _log_limits(values: Sequence[float], scale: Scale) -> Limits:
    if not values:
        return (1.0, 10.0) if scale == "log" else (0.0, 0.9)
    low, high = distance(min(values), scale), distance(max(values), scale)
    room = max((high - low) * MARGIN, 0.01) if high - low > 0.01 else 0.3
    return value_at(max(low - room, -305.0), scale), value_at(high + room, scale)
