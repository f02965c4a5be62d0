"""Prune until the network is *measured* to be so much faster.

Whatever steers the pruning (predicted milliseconds, MACs) only approximates what a runtime does with the whole
network. So the budget is searched for: prune a copy to a share of the cost, measure the whole copy against the
original, correct the share by what was measured, and repeat.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from engine.compute.context import Context
from engine.compute.latency.bench import Bench, structure
from engine.errors import SecateurError
from engine.measures.latency import NOISY_LOAD
from engine.params.channels import LatencyTarget

Prune = Callable[[float], nn.Module]
"""A pruned copy of the model: of its cost, at most this share (0 < share < 1) is left, as the cost is predicted.

Where so little cannot be left, the least that can. Equal shares give equal structures."""
Measure = Callable[[nn.Module], float]
"""How many times as fast as the original the model is measured to be."""

TOLERANCE = 0.03
"""Deviation from the wanted speed-up that ends the search."""
TRIES = 8
"""Measurements at most: each takes seconds, and six were enough wherever the target could be met."""
LEAST_STEP = 0.1
"""Part of the bracket that every correction keeps from its ends, so that the bracket shrinks."""
NARROW = 0.005
"""A bracket of shares this narrow has only structures in it that were measured."""
LEAST_SHARE = 0.002


@dataclass(frozen=True)
class Found:
    """The end of a search: the share of the cost, its pruned copy, and what it was measured to gain."""

    share: float
    model: nn.Module
    speedup: float


def reach(target: LatencyTarget, original: nn.Module, prune: Prune, context: Context, name: str) -> Found:
    """The share of the cost at which `prune` gives a model `target.speedup` times as fast as `original`.

    Measured in `target.runtime`, whole networks in alternating blocks (`measure_pair`), while this process
    idles. Every measurement is recorded by `context.measured` under `name`, so that the same search goes the same
    way when it is repeated. To be called under `engine.machine.lock.exclusive`. Raises SecateurError when no pruning
    that `prune` can do is measured to be fast enough, telling the most that was.
    """
    speedups: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        bench = Bench(target, original, Path(folder), context)

        def measure(model: nn.Module) -> float:
            shape = structure(model)
            if shape not in speedups:
                number = len(speedups)
                row = context.measured(f"{name} speedup {number}", lambda: bench.row(model))
                context.progress(
                    number / TRIES, f"measured {row['speedup']:.2f}×, wanted {target.speedup:g}×"
                )
                speedups[shape] = row["speedup"]
            return speedups[shape]

        found = search(prune, measure, target.speedup)
    if bench.disturbance > NOISY_LOAD:
        context.notice(
            "warning",
            f"The speed-up was measured while other programs took {bench.disturbance:.0%} of the processors' "
            "time: on a quiet machine it may be another",
        )
    return found


def search(prune: Prune, measure: Measure, wanted: float) -> Found:
    """The pruning whose measured speed-up is within TOLERANCE of `wanted`, or else the closest faster one.

    The time that is left is nearly linear in the share of the cost that is left, so each next share lies where
    the line through the two closest known ones says (regula falsi), at first the original and nothing at all. A
    structure that was measured before tells nothing new: then the bracket is halved.
    """
    slow, fast = _Point(1.0, 1.0), _Point(0.0, 0.0)
    best: Found | None = None
    seen: dict[str, float] = {}
    share: float | None = 1 / wanted
    while share is not None and len(seen) < TRIES:
        model = prune(share)
        known = structure(model)
        again = known in seen
        speedup = seen[known] = measure(model)
        if speedup >= wanted * (1 - TOLERANCE) and (best is None or speedup < best.speedup):
            best = Found(share, model, speedup)
        if speedup <= wanted * (1 + TOLERANCE) and best is not None and best.speedup == speedup:
            break
        if speedup > wanted:
            fast = _Point(share, 1 / speedup)
        else:
            slow = _Point(share, 1 / speedup)
        share = _next(slow, fast, 1 / wanted, halve=again)
    if best is None:
        raise _out_of_reach(max(seen.values(), default=1.0), wanted)
    return best


@dataclass(frozen=True)
class _Point:
    """A share of the predicted cost and the share of the measured time that was left."""

    share: float
    time: float


def _next(slow: _Point, fast: _Point, time: float, *, halve: bool) -> float | None:
    """The share to try next between the two, by bisection if told to; None when they are as good as one."""
    width = slow.share - fast.share
    if width < NARROW * slow.share or slow.share <= LEAST_SHARE:
        return None
    rise = slow.time - fast.time
    part = 0.5 if halve or rise <= 0 else (time - fast.time) / rise
    return fast.share + width * min(max(part, LEAST_STEP), 1 - LEAST_STEP)


def _out_of_reach(most: float, wanted: float) -> SecateurError:
    return SecateurError(
        f"The model cannot be made {wanted:g} times as fast",
        f"The fastest pruning that was measured is {most:.2f} times as fast as the model before it.",
        "Ask for less (latency.speedup), or allow more: a lower floor, a smaller round_to, a shorter skip.",
    )
