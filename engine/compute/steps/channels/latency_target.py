"""Prune until the network is *measured* to be so much faster.

Whatever steers the pruning (predicted milliseconds, MACs) only approximates what a runtime does with the whole
network: it puts what may go in an order. How much of that goes is searched for by measuring: prune a copy, measure the
whole copy against the original in the form in which it is exported, correct by what was measured, and repeat.
"""

import bisect
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from engine.compute.context import Context
from engine.compute.latency.bench import Bench
from engine.machine import private
from engine.measures.latency import NOISY_LOAD
from engine.params.channels import LatencyTarget
from engine.results.latency_targets import TOLERATED, within
from engine.results.tolerance import rising

Prune = Callable[[int], nn.Module]
"""A copy of the model after so many of the removals in their order."""
Measure = Callable[[int], float]
"""How many times as fast as the original the model is measured to be after so many removals, anew in each call."""

TOLERANCE = 0.04
"""Deviation from the wanted speed-up that ends the search: less than half of what is tolerated, so that a later
measurement of the same network, a few percent off, is still within that."""
TRIES = 8
"""Networks measured at most: each takes seconds, and six were enough wherever the target could be met."""
CONFIRMED = 2
"""Measurements of the network that the search ends with, each in fresh processes: how a process lies in memory, or a
moment's disturbance, can make one of them wrong by far more than its own spread says."""
LEAST_STEP = 0.1
"""Part of the bracket that every correction keeps from its ends, so that the bracket shrinks."""


@dataclass(frozen=True)
class Found:
    """The end of a search: so many removals, and the speed-ups that were `measured` after them; their median counts."""

    removals: int
    measured: tuple[float, ...]
    wanted: float

    @property
    def speedup(self) -> float:
        return statistics.median(self.measured)

    @property
    def met(self) -> bool:
        """Whether the network is as fast as wanted, or faster, up to what is tolerated."""
        return self.speedup >= self.wanted * (1 - TOLERATED)

    @property
    def order(self) -> tuple[bool, float]:
        """Of two, the lesser is nearer to what was wanted: first those that meet it."""
        return not self.met, abs(math.log(self.speedup / self.wanted))


def reach(
    target: LatencyTarget,
    original: nn.Module,
    prune: Prune,
    shares: Sequence[float],
    context: Context,
    name: str,
) -> Found:
    """How many removals make the model `target.speedup` times as fast as `original`, or come nearest to it.

    `shares[n]` is the predicted share of the original's cost that is left after n removals. Measured in
    `target.runtime`, whole networks in alternating blocks (`measure_pair`), while this process idles. Every
    measurement is recorded by `context.measured` under `name`, so that the same search goes the same way when it is
    repeated. To be called under `engine.machine.lock.exclusive`.
    """
    with private.scratch() as folder:
        bench = Bench(target, original, folder, context)
        made: dict[int, int] = {}

        def measure(removals: int) -> float:
            number = made[removals] = made.get(removals, 0) + 1
            row = context.measured(
                f"{name}, {removals} removals, measurement {number}",
                lambda: bench.row(removals, lambda: prune(removals)),
            )
            context.progress(
                len(made) / (TRIES + 1), f"measured {row['speedup']:.2f}×, wanted {target.speedup:g}×"
            )
            return float(row["speedup"])

        reached = search(shares, measure, target.speedup)
    if bench.disturbance > NOISY_LOAD:
        context.notice(
            "warning",
            f"The speed-up was measured while other programs took {bench.disturbance:.0%} of the processors' "
            "time: on a quiet machine it may be another",
        )
    return reached


def search(shares: Sequence[float], measure: Measure, wanted: float) -> Found:
    """The removals after which the measured speed-up is within TOLERANCE of `wanted`, or else those nearest to it.

    The time that is left is nearly linear in the predicted share of the cost that is left, so each next try lies where
    the line between the two known ones around the wanted time says (regula falsi), at first between the original and
    nothing at all. What is known is every measurement so far, made not to rise with the removals (`falling`): one
    wrong measurement cannot keep the search on the wrong side.
    """
    tried: dict[int, list[float]] = {}
    removals: int | None = _left_at(shares, 1 / wanted)
    while removals is not None:
        tried.setdefault(removals, []).append(measure(removals))
        removals = _next(shares, tried, wanted)
    return _nearest(tried, wanted)


def _nearest(tried: Mapping[int, Sequence[float]], wanted: float) -> Found:
    return min(
        (Found(n, tuple(speedups), wanted) for n, speedups in tried.items()), key=lambda one: one.order
    )


def _next(shares: Sequence[float], tried: Mapping[int, Sequence[float]], wanted: float) -> int | None:
    """The number of removals to measure next; None at the end, when the nearest is confirmed."""
    nearest = _nearest(tried, wanted)
    again = nearest.removals if len(nearest.measured) < CONFIRMED else None
    if within(nearest.speedup, wanted, TOLERANCE) or len(tried) >= TRIES:
        return again
    slow, fast = _around(shares, tried, 1 / wanted)
    if fast.removals - slow.removals <= 1:
        return again
    if fast.removals == len(shares) and len(tried) > 1:
        return (
            len(shares) - 1
        )  # whether the target can be met at all is known before time goes into an approach
    rise = slow.time - fast.time
    part = (1 / wanted - fast.time) / rise if rise > 0 else 0.5
    share = fast.share + (slow.share - fast.share) * min(max(part, LEAST_STEP), 1 - LEAST_STEP)
    return min(max(_left_at(shares, share), slow.removals + 1), fast.removals - 1)


def _left_at(shares: Sequence[float], share: float) -> int:
    """The fewest removals after which at most so much of the cost is left; all, if they leave more."""
    return min(bisect.bisect_left(shares, -share, key=lambda one: -one), len(shares) - 1)


@dataclass(frozen=True)
class _Point:
    """After so many removals: the predicted share of the cost and the share of the measured time that is left."""

    removals: int
    share: float
    time: float
    weight: float


def _around(
    shares: Sequence[float], tried: Mapping[int, Sequence[float]], time: float
) -> tuple[_Point, _Point]:
    """The known points next to each other between which the time that is left falls to `time`.

    Beyond the first is the original, and beyond the last a network of which nothing is left.
    """
    known = [_Point(n, shares[n], 1 / statistics.median(tried[n]), len(tried[n])) for n in sorted(tried)]
    first = _Point(0 if shares[0] == 1 else -1, 1.0, 1.0, math.inf)
    points = [first, *(one for one in known if one.removals > first.removals)]
    times = [*falling([one.time for one in points], [one.weight for one in points]), 0.0]
    points.append(_Point(len(shares), 0.0, 0.0, math.inf))
    at = next(index for index in range(1, len(points)) if times[index] <= time)
    slow, fast = points[at - 1], points[at]
    return (
        _Point(slow.removals, slow.share, times[at - 1], slow.weight),
        _Point(fast.removals, fast.share, times[at], fast.weight),
    )


def falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """`values` made not to rise, at the least weighted squared change.

    >>> falling([1.0, 0.5, 0.7, 0.2], [1, 1, 1, 1])
    [1.0, 0.6, 0.6, 0.2]
    """
    return [-value for value in rising([-value for value in values], weights)]
