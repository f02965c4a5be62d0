"""Schedules of the learning rate and of sparsity, as pure functions of progress."""

import math
from typing import Literal, assert_never

ScheduleName = Literal["onecycle", "cosine", "step", "constant"]

RISE = 0.3
"""Share of a one-cycle schedule in which the learning rate rises (Smith & Topin 2018)."""
DROPS = (0.5, 0.75)
"""Progress at which a step schedule divides the rate by ten (He et al. 2015)."""


def learning_rate_factor(shape: ScheduleName, progress: float) -> float:
    """Share of the highest learning rate at `progress` (0 at the first update, 1 after the last).

    >>> [round(learning_rate_factor("cosine", p), 2) for p in (0, 0.5, 1)]
    [1.0, 0.5, 0.0]
    """
    match shape:
        case "onecycle":
            if progress < RISE:
                return 0.04 + 0.96 * progress / RISE
            return _cosine((progress - RISE) / (1 - RISE))
        case "cosine":
            return _cosine(progress)
        case "step":
            return float(0.1 ** sum(progress >= drop for drop in DROPS))
        case "constant":
            return 1.0
        case _:
            assert_never(shape)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def sparsities(shape: Literal["linear", "cubic"], start: float, end: float, rounds: int) -> list[float]:
    """The sparsity after each of `rounds` rounds; the last is `end` exactly.

    Cubic is equation 1 of Zhu & Gupta 2017: s_t = s_f + (s_i − s_f)(1 − t)³.

    >>> [round(s, 3) for s in sparsities("cubic", 0.0, 0.8, 4)]
    [0.463, 0.7, 0.788, 0.8]
    """
    power = {"linear": 1, "cubic": 3}[shape]
    between = [end + (start - end) * (1 - t / rounds) ** power for t in range(1, rounds)]
    return [*between, end]
