"""Calls of one session, timed in blocks."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Call for `warm_ms` uncounted, then for `timed_ms` counted, of which one call at least if it is not 0."""

    warm_ms: float
    timed_ms: float


def timed(run: Callable[[], None], block: Block) -> tuple[list[int], list[int]]:
    """Nanoseconds of each uncounted call of `block`, and of each counted one."""
    # Whoever waited for a processor until the block's end still owes the one call.
    return _calls(run, block.warm_ms, least=0), _calls(run, block.timed_ms, least=1 if block.timed_ms else 0)


def _calls(run: Callable[[], None], for_ms: float, *, least: int) -> list[int]:
    clock = time.perf_counter_ns
    calls: list[int] = []
    end = clock() + int(for_ms * 1e6)
    while (start := clock()) < end or len(calls) < least:
        run()
        calls.append(clock() - start)
    return calls
