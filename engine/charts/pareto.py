"""The Pareto front: the points that no other point beats in both respects."""

from collections.abc import Sequence
from dataclasses import replace

from engine.measures.table import Better, measure
from engine.plotting.axes import scene
from engine.plotting.figure import Figure, Point, Reference, Series, finite
from engine.plotting.palette import STAR

BESIDE = 0.1
"""Part of a zoomed axis that stays free beside the front, so that one sees where lines go on."""


def front(points: Sequence[tuple[float, float]], x: Better, y: Better) -> list[int]:
    """Indices of the points that are not dominated, by ascending x.

    A point is dominated if another is at least as good in both coordinates and better in one; `x` and `y`
    say which direction is better (neither: lower x, higher y). Of equal points all stay.

    >>> front([(0.0, 0.98), (0.5, 0.98), (0.9, 0.7), (0.8, 0.6)], "higher", "higher")
    [1, 2]
    """
    signs = (1.0 if x == "higher" else -1.0), (-1.0 if y == "lower" else 1.0)
    good = [(px * signs[0], py * signs[1]) for px, py in points]
    order = sorted(range(len(points)), key=lambda i: good[i], reverse=True)
    kept: list[int] = []
    best = float("-inf")
    first: tuple[float, float] | None = None
    for i in order:
        if good[i][1] > best:
            best, first = good[i][1], good[i]
            kept.append(i)
        elif good[i] == first:
            kept.append(i)
    return sorted(kept, key=lambda i: points[i])


def on_front(figure: Figure) -> list[tuple[int, int]]:
    """The points of a figure that are on its front, by ascending x, each as places of its series and of itself."""
    places, points = [], []
    for s, line in enumerate(figure.series):
        for p, point in enumerate(line.points if line.marks and line.marker != STAR else ()):
            x, y = finite(point.x), finite(point.y)
            if x is not None and y is not None:
                places.append((s, p))
                points.append((x, y))
    kept = front(points, measure(figure.x_measure).better, measure(figure.y_measure).better)
    return [places[i] for i in kept]


def zoomed(figure: Figure) -> Figure:
    """The figure with limits around the part of its front that one would choose from.

    That is from the best y to the picks', or without a pick the better half of the front; reference lines that are
    no farther off than these points from each other are kept in view. A figure without a front stays as it is.
    """
    points = _worth_a_look([figure.series[s].points[p] for s, p in on_front(figure)], figure)
    if not points:
        return figure
    heights = [point.y or 0.0 for point in points]
    span = max(heights) - min(heights)
    near = tuple(
        Reference("", line.y)
        for line in figure.references
        if min(heights) - span <= line.y <= max(heights) + span
    )
    cut = scene(
        replace(figure, series=(Series("", tuple(points)),), references=near, x_limits=None, y_limits=None)
    )
    x = None if cut.x.categories else (cut.x.value(-BESIDE), cut.x.value(1 + BESIDE))
    y = (cut.y.low, cut.y.value(1 + BESIDE)) if _sign(figure) < 0 else (cut.y.value(-BESIDE), cut.y.high)
    return replace(figure, x_limits=x, y_limits=y)


def _sign(figure: Figure) -> int:
    """1 where a higher y is better, −1 where a lower one is."""
    return -1 if measure(figure.y_measure).better == "lower" else 1


def _worth_a_look(front: Sequence[Point], figure: Figure) -> list[Point]:
    """The points of a front at least as good as the worst pick, with the picks; without any its better half."""
    sign = _sign(figure)
    picks = [
        p for line in figure.series if line.marker == STAR for p in line.points if finite(p.y) is not None
    ]
    best_first = sorted(front, key=lambda point: -sign * (point.y or 0.0))
    if not picks:
        return best_first[: len(best_first) // 2 + 1]
    worst = min(sign * (point.y or 0.0) for point in picks)
    return [*(point for point in best_first if sign * (point.y or 0.0) >= worst), *picks]
