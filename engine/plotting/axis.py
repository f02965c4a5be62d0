"""One axis of a scene, and its scale: how values become distances."""

import math
from dataclasses import dataclass
from typing import Literal

from engine.measures.table import measure

FAR = 1e3
"""Positions beyond this many axis lengths are drawn as if there: a line leaves the chart just as steeply."""
LEAST_ERROR = 1e-16
"""Errors are placed as if no smaller: doubles hold nothing between 1 and 1 - 1e-16."""

Scale = Literal["linear", "log", "error"]
"""`error` has the logarithm of `1 - value`: 90, 99 and 99.9 % are as far apart as 1 % is from 10 %."""
NAMES: dict[Scale, str] = {"linear": "", "log": "log", "error": "log error"}
"""What a scale is called beside the name of its axis."""
NOT_SHOWN: dict[Scale, str] = {"linear": "", "log": "at or below 0", "error": "at 100 %"}
"""Where the values lie that a scale has no place for."""


def scales(name: str) -> tuple[Scale, ...]:
    """The scales that make sense for a measure or parameter: of errors for what is better the nearer to 100 %.

    >>> scales("accuracy"), scales("size.packed")
    (('linear', 'log', 'error'), ('linear', 'log'))
    """
    known = measure(name)
    near_one = known.kind == "fraction" and known.better == "higher"
    return ("linear", "log", "error") if near_one else ("linear", "log")


def fitting(scale: Scale, name: str) -> Scale:
    """The scale, or the linear one where it makes no sense for a measure or parameter."""
    return scale if scale in scales(name) else "linear"


def placeable(value: float, scale: Scale) -> bool:
    """Whether a finite value has a place on the scale."""
    return value > 0 if scale == "log" else value < 1 if scale == "error" else True


def distance(value: float, scale: Scale) -> float:
    """Where a value lies along an axis of the scale, in units of the scale; it grows with the value."""
    if scale == "log":
        return math.log10(value) if value > 0 else -math.inf
    return -math.log10(max(1 - value, LEAST_ERROR)) if scale == "error" else value


def value_at(distance: float, scale: Scale) -> float:
    """The value that lies there; the inverse of `distance`.

    >>> value_at(2, "log"), value_at(2, "error")
    (100.0, 0.99)
    """
    if scale == "log":
        return float(10 ** min(distance, 305.0))
    return 1 - float(10 ** min(-distance, 305.0)) if scale == "error" else distance


@dataclass(frozen=True)
class Axis:
    """One axis: `low < high`, both placeable on its scale; categories sit at 0, 1, 2, …"""

    low: float
    high: float
    scale: Scale = "linear"
    measure: str = ""
    categories: tuple[str, ...] = ()
    whole: bool = False
    """Whether only whole numbers make sense as ticks, as for epochs."""

    def position(self, value: float) -> float:
        """The value's place, 0 at `low` and 1 at `high`; clamped to ±1000."""
        low, high = distance(self.low, self.scale), distance(self.high, self.scale)
        return max(-FAR, min(FAR, (distance(value, self.scale) - low) / (high - low)))

    def value(self, position: float) -> float:
        """The value at a place; the inverse of `position`."""
        low, high = distance(self.low, self.scale), distance(self.high, self.scale)
        return value_at(low + (high - low) * position, self.scale)
