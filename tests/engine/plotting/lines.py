"""Lines of charts from parallel lists."""

from collections.abc import Iterable

from engine.plotting.figure import Point, Series, X


def series(
    name: str, xs: Iterable[X], ys: Iterable[float | None], deviations: Iterable[float | None] = ()
) -> Series:
    """Without a deviation, none was measured of a point."""
    spread = list(deviations)
    pairs = zip(xs, ys, strict=False)
    return Series(
        name, tuple(Point(x, y, spread[i] if i < len(spread) else None) for i, (x, y) in enumerate(pairs))
    )
