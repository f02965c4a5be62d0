"""Calls of one session, timed in blocks."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Call for `warm_ms` uncounted, then for `timed_ms` counted; at least once each, if not 0."""

    warm_ms: float
    timed_ms: float


def timed(run: Callable[[], None], block: Block) -> list[int]:
    """Nanoseconds of each counted call of `block`."""
    _warmed(run, block.warm_ms)
    return _counted(run, block.timed_ms)


def _warmed(run: Callable[[], None], warm_ms: float) -> list[int]:
    """Nanoseconds of calls for `warm_ms`."""
    clock = time.perf_counter_ns
    calls: list[int] = []
    end = clock() + int(warm_ms * 1e6)
    while (start := clock()) < end:
        run()
        calls.append(clock() - start)
    return calls


def _counted(run: Callable[[], None], timed_ms: float) -> list[int]:
    """Nanoseconds of calls for `timed_ms`, of one at least."""
    clock = time.perf_counter_ns
    calls: list[int] = []
    end = clock() + int(timed_ms * 1e6)
    # Whoever waited for a processor until the block's end still owes the one call.
    while (start := clock()) < end or (timed_ms and not calls):
        run()
        calls.append(clock() - start)
    return calls
