"""One axis of a scene."""

import math
from dataclasses import dataclass

FAR = 1e3
"""Positions beyond this many axis lengths are drawn as if there: a line leaves the chart just as steeply."""


@dataclass(frozen=True)
class Axis:
    """One axis: `low < high`, both > 0 on a log axis; categories sit at 0, 1, 2, …"""

    low: float
    high: float
    log: bool = False
    measure: str = ""
    categories: tuple[str, ...] = ()
    whole: bool = False
    """Whether only whole numbers make sense as ticks, as for epochs."""

    def position(self, value: float) -> float:
        """The value's place, 0 at `low` and 1 at `high`; clamped to ±1000."""
        if self.log:
            if value <= 0:
                return -FAR
            low = math.log10(self.low)
            place = (math.log10(value) - low) / (math.log10(self.high) - low)
        else:
            place = (value - self.low) / (self.high - self.low)
        return max(-FAR, min(FAR, place))
