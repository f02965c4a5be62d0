"""Where the ticks of an axis are and what stands at them.

Steps are 1, 2 or 5 times a power of ten; a log axis has powers of ten, and where it spans few of them
1-2-5, or 1-3 where there is no room for that. Ticks never lie outside the limits, and labels never overlap.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from engine.measures.table import Measure, axis_unit, measure, measure_text
from engine.text.numbers import MISSING, number
from engine.text.tables import abbreviate

if TYPE_CHECKING:
    from engine.plotting.axis import Axis

EDGE = 1e-9
"""Part of a step by which rounding may push a tick over the edge of the axis."""
MOST_TICKS = 1000


class Tick(NamedTuple):
    """A labelled place on an axis; `position` is 0 at its low and 1 at its high end."""

    value: float
    label: str
    position: float


def nice_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below `least` (> 0)."""
    exponent = max(math.floor(math.log10(least)) if least > 0 else -300, -300)
    base = 10.0**exponent
    return next(
        (factor * base for factor in (1.0, 2.0, 5.0) if factor * base >= least * (1 - EDGE)), 10.0 * base
    )


def snap(index: float, step: float) -> float:
    """`index` steps from 0, without the dust of binary arithmetic: 3 × 0.1 is 0.3.

    >>> snap(3, 0.1)
    0.3
    """
    return float(f"{index * step:.12g}")


def linear_ticks(low: float, high: float, count: int, whole: bool = False) -> tuple[float, ...]:
    """At most `count` (≥ 2) round values in `low..high`; with `whole`, whole numbers only.

    >>> linear_ticks(0.11, 0.92, 5)
    (0.2, 0.4, 0.6, 0.8)
    """
    span = high - low
    if not span > 0:
        return ()
    count = max(2, min(count, MOST_TICKS))
    step = max(nice_step(span / count / 2), 1.0 if whole else 0.0)
    while len(multiples := _multiples(low, high, step)) > count:
        step = nice_step(step * 1.5)
    return multiples


def _multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    first, last = math.ceil(low / step - EDGE), math.floor(high / step + EDGE)
    values = (snap(index, step) for index in range(first, min(last, first + MOST_TICKS * 4) + 1))
    return tuple(value for value in values if low <= value <= high)


def log_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """At most `count` (≥ 2) powers of ten, or 1-2-5 or 1-3 times them, in `low..high` (> 0).

    >>> log_ticks(0.5, 200, 5)
    (1.0, 10.0, 100.0)
    >>> log_ticks(1, 20, 5)
    (1.0, 2.0, 5.0, 10.0, 20.0)
    """
    if not 0 < low < high:
        return ()
    count = max(2, min(count, MOST_TICKS))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [exponent for exponent in range(first, last + 1) if low <= _power(1, exponent) <= high]
    if len(powers) < 3:
        for factors in ((1, 2, 5), (1, 3), (1,)):
            fine = [_power(f, e) for e in range(first, last + 1) for f in factors]
            fine = [value for value in fine if low <= value <= high]
            if 2 <= len(fine) <= count:
                return tuple(fine)
        return linear_ticks(low, high, count)
    every = math.ceil(len(powers) / count)
    return tuple(_power(1, exponent) for exponent in powers if exponent % every == 0)[:count]


def error_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """At most `count` (≥ 2) values in `low..high` (< 1) whose distances from 1 are the ticks of a log axis.

    >>> error_ticks(0.5, 0.9995, 4)
    (0.9, 0.99, 0.999)
    >>> error_ticks(0.9, 0.981, 5)
    (0.9, 0.95, 0.98)
    """
    errors = log_ticks((1 - high) * (1 - EDGE), (1 - low) * (1 + EDGE), count)
    return tuple(value for error in reversed(errors) if low <= (value := float(f"{1 - error:.15g}")) <= high)


def _power(factor: int, exponent: int) -> float:
    return float(f"{factor}e{max(-307, min(exponent, 307))}")


def labels(values: Sequence[float], name: str, log: bool = False) -> list[str]:
    """What stands at the ticks: one unit and the same decimals for all, or each on its own on a log axis.

    >>> labels([0, 0.25, 0.5], "accuracy"), labels([0, 500_000, 1_000_000], "size.plain")
    (['0 %', '25 %', '50 %'], ['0.0 MB', '0.5 MB', '1.0 MB'])
    """
    known = measure(name)
    if log:
        return [_alone(value, known, name) for value in values]
    divisor, unit = axis_unit(known, max((abs(value) for value in values), default=0.0))
    scaled = [value / divisor for value in values]
    step = min((b - a for a, b in pairwise(scaled) if b > a), default=0.0)
    if not scaled or not _plain(max(map(abs, scaled)), step):
        return [f"{number(value)}{unit}" for value in scaled]
    decimals = _decimals(step) if step else 0 if scaled[0].is_integer() else 3
    return [f"{value:.{decimals}f}{unit}" for value in scaled]


def _alone(value: float, known: Measure, name: str) -> str:
    """A label of its own: `100 kB` beside `1 MB`."""
    divisor, unit = axis_unit(known, value)
    text = f"{number(value / divisor)}{unit}"
    return text if text != MISSING else measure_text(name, value)


def _plain(largest: float, step: float) -> bool:
    """Whether fixed-point labels stay short."""
    return largest < 1e6 and (step == 0 or step >= 1e-5)


def _decimals(step: float) -> int:
    """Decimals that show a step of 1, 2 or 5 times a power of ten exactly."""
    return max(0, -math.floor(math.log10(step) + EDGE))


def axis_ticks(axis: "Axis", count: int) -> tuple[Tick, ...]:
    """At most `count` ticks of an axis; a categorical axis has one for each category, however many."""
    if axis.categories:
        return tuple(Tick(float(i), name, axis.position(i)) for i, name in enumerate(axis.categories))
    match axis.scale:
        case "log":
            values = log_ticks(axis.low, axis.high, count)
        case "error":
            values = error_ticks(axis.low, axis.high, count)
        case "linear":
            values = linear_ticks(axis.low, axis.high, count, axis.whole)
    texts = labels(values, axis.measure, axis.scale != "linear")
    return tuple(Tick(v, text, axis.position(v)) for v, text in zip(values, texts, strict=True))


def row_of_ticks(
    axis: "Axis", length: float, width_of: Callable[[str], float], gap: float, most: int
) -> tuple[Tick, ...]:
    """The most ticks, up to `most`, whose labels side by side under an axis of `length` keep `gap` apart.

    Length, gap and what `width_of` returns share one unit: columns or pixels.
    """
    if axis.categories:
        return _row_of_categories(axis, length, width_of, gap)
    for count in range(max(most, 2), 1, -1):
        ticks = axis_ticks(axis, count)
        if _fits(ticks, length, width_of, gap):
            return ticks
    return ticks[:1]


def _row_of_categories(
    axis: "Axis", length: float, width_of: Callable[[str], float], gap: float
) -> tuple[Tick, ...]:
    """All categories if they fit, abbreviated if that is enough, else every second, third, …"""
    ticks = axis_ticks(axis, 0)
    for every in range(1, len(ticks) + 1):
        kept = ticks[::every]
        for letters in (80, 24, 16, 12, 8, 6):
            short = tuple(tick._replace(label=abbreviate(tick.label, letters)) for tick in kept)
            if _fits(short, length, width_of, gap):
                return short
    return ()


def _fits(ticks: Sequence[Tick], length: float, width_of: Callable[[str], float], gap: float) -> bool:
    """Whether labels centred on their ticks keep their distance and are no wider than the axis."""
    end = -math.inf
    for tick in ticks:
        width = width_of(tick.label)
        start = min(max(tick.position * length - width / 2, 0.0), length - width)
        if start < end + gap or width > length:
            return False
        end = start + width
    return True
