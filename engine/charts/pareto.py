"""The Pareto front: the points that no other point beats in both respects."""

from collections.abc import Sequence

from engine.measures.table import Better


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
