"""Latency of a model against its baseline, so that the number can be trusted on a shared machine.

Two sessions awake in one process disturb each other by a factor of four: their thread pools spin after each
call and take each other's processors. So each (model, runtime, batch) gets a fresh process, the two sides of
a comparison take turns, and whoever has no turn is stopped by the kernel. Turns are A B B A A B B A …: drift
of the machine that is linear over four blocks cancels, and there are half as many changes as in A B A B.
After a change the first calls, on cold caches and sleeping threads, are not counted.
"""

import contextlib
import itertools
import os
import signal
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from engine.compute.measure import procfs
from engine.compute.measure.latency_worker import Block, Job, Partner, Timed, serve
from engine.compute.measure.warmfork import Start, start
from engine.compute.runtimes.base import Runtime, Shape
from engine.errors import SecateurError
from engine.params.preset import Latency

REWARM_MS = 5.0
"""Uncounted calls (at least one) after each change: where tried, calls were level after 2 to 4 ms."""
STOP_S = 1.0
"""Bound on waiting for a stopped process to stand still; it takes well under a millisecond."""
END_S = 5.0
"""Bound on waiting for a process to end by itself, once its pipe is closed."""


@dataclass(frozen=True)
class Side:
    """One model: its artefact for each runtime (see `engine.compute.runtimes.base.artefact`)."""

    artefacts: Mapping[Runtime, Path]


def measure_pair(
    baseline: Side,
    compressed: Side,
    *,
    params: Latency,
    shape: Shape,
    threads: int,
    device: str = "cpu",
    start: Start = start,
) -> list[dict[str, Any]]:
    """A row for each runtime and batch size of `params`, on the processors this process may use.

    A row has

    - `runtime`, `batch`, `threads`, `device`, `cpu` (the processor's name);
    - `median_ms`, `p90_ms` of the compressed model's calls, and `calls`, their number;
    - `baseline_median_ms`, `baseline_p90_ms`;
    - `speedup`: the median over pairs of neighbouring blocks of baseline / compressed (above 1: the
      compressed model is faster); `speedup_low`, `speedup_high`: its quartiles;
    - `peak_memory` of loading and running the compressed model, bytes: the rise of the process's resident
      memory, or the allocator's peak on a GPU;
    - `foreign_load`: the share of our processors' time that went to other processes meanwhile, 0 to 1: from
      a few percent on, the times are longer than the models are slow, and more so with all processors in use.

    When both sides are the same artefacts, one process is measured and the speedup is 1.

    To be called while nothing else of ours computes (`engine.hostlock.exclusive`). Raises SecateurError,
    naming runtime and batch, when a runtime refuses the model or its process ends.
    """
    rows = []
    for runtime, batch in itertools.product(params.runtimes, params.batch):
        paths = [side.artefacts[runtime] for side in (baseline, compressed)]
        jobs = [
            Job(runtime, path, batch, shape, threads, device, frozenset(os.sched_getaffinity(0)))
            for path in dict.fromkeys(paths)
        ]
        with contextlib.ExitStack() as stack:
            sides = [_loaded(stack.enter_context(_measured(job, start))) for job in jobs]
            found = _compare(sides, params)
        about = {"runtime": runtime, "batch": batch, "threads": threads, "device": device}
        rows.append(about | {"cpu": procfs.cpu_model()} | found)
    return rows


def _compare(sides: list["_Measured"], params: Latency) -> dict[str, Any]:
    """The numbers of one row, from one side (baseline and compressed in one) or two."""
    for side, other in itertools.permutations(sides, 2):
        side.order(Partner(other.pid))
        side.answer()
    with _foreign_load(sides) as foreign:
        blocks = _blocks(sides, params)
    return _statistics(blocks[0], blocks[-1]) | {
        "peak_memory": sides[-1].peak_memory,
        "foreign_load": foreign[0],
    }


def _blocks(sides: list["_Measured"], params: Latency) -> list[list[list[int]]]:
    """Nanoseconds of calls, in blocks, of each side."""
    blocks: list[list[list[int]]] = [[] for _ in sides]
    awake = None
    for turn in _turns(len(sides), params.blocks):
        warm_ms = 0.0 if turn == awake else REWARM_MS
        if turn != awake and len(sides) > 1:
            # In this order, so that never both are stopped: a side that runs wakes the other if we die.
            sides[turn].wake()
            sides[1 - turn].stop()
        awake = turn
        if not blocks[turn]:
            warm_ms = max(warm_ms, params.warmup_ms)
        blocks[turn].append(sides[turn].timed(Block(warm_ms, params.block_ms)))
    return blocks


@contextlib.contextmanager
def _foreign_load(sides: list["_Measured"]) -> Iterator[list[float]]:
    """Yields a list that gets the share of our processors' time that went to others within the block."""
    processors = os.sched_getaffinity(0)

    def ours() -> float:
        return time.process_time() + sum(procfs.used_s(side.pid) for side in sides)

    share: list[float] = []
    start, own, busy = time.perf_counter(), ours(), procfs.busy_s(processors)
    yield share
    available = (time.perf_counter() - start) * len(processors)
    others = procfs.busy_s(processors) - busy - (ours() - own)
    share.append(min(max(others / available, 0.0), 1.0))


def _turns(sides: int, blocks: int) -> list[int]:
    """Whose turn it is: 0 1 1 0 0 1 1 0 …, `blocks` times each.

    >>> _turns(2, 3)
    [0, 1, 1, 0, 0, 1]
    """
    if sides == 1:
        return [0] * blocks
    return [side for pair in range(blocks) for side in ((0, 1) if pair % 2 == 0 else (1, 0))]


def _statistics(baseline: list[list[int]], compressed: list[list[int]]) -> dict[str, Any]:
    """The row's numbers from nanoseconds of calls, in blocks; the i-th of both are neighbours in time."""
    ratios = [
        statistics.median(one) / statistics.median(other)
        for one, other in zip(baseline, compressed, strict=True)
    ]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    before, after = ([call / 1e6 for call in itertools.chain(*blocks)] for blocks in (baseline, compressed))
    return {
        "median_ms": statistics.median(after),
        "p90_ms": _p90(after),
        "baseline_median_ms": statistics.median(before),
        "baseline_p90_ms": _p90(before),
        "speedup": middle,
        "speedup_low": low,
        "speedup_high": high,
        "calls": len(after),
    }


def _p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


def _loaded(side: "_Measured") -> "_Measured":
    """`side` once its model is loaded: one after the other, because two that load at once take longer."""
    side.answer()
    return side


@contextlib.contextmanager
def _measured(job: Job, start: Start) -> Iterator["_Measured"]:
    """A process that loads and runs `job`; it is gone at the end, whatever happened."""
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = start(serve, (job, theirs))
        try:
            yield _Measured(job, process, ours)
        finally:
            ours.close()
            _end(process)


def _end(process: BaseProcess) -> None:
    _signal(process, signal.SIGCONT)
    process.join(END_S)
    if process.exitcode is None:
        process.kill()
        process.join()


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


class _Measured:
    """The measuring process's hold on one measured process."""

    def __init__(self, job: Job, process: BaseProcess, pipe: Any) -> None:
        self._job = job
        self._process = process
        self._pipe = pipe
        self.peak_memory = 0

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def order(self, order: Partner | Block) -> None:
        try:
            self._pipe.send(order)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._ended() from error

    def answer(self) -> list[int]:
        """Nanoseconds of the calls that the last order counted."""
        try:
            answer: Timed | SecateurError = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._ended() from error
        if isinstance(answer, SecateurError):
            raise self._failed(f"{answer.title}: {answer.detail}", answer.remedy)
        self.peak_memory = answer.peak_memory
        return answer.calls

    def timed(self, block: Block) -> list[int]:
        self.order(block)
        return self.answer()

    def wake(self) -> None:
        _signal(self._process, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process, threads that spin included, and wait until it stands still."""
        _signal(self._process, signal.SIGSTOP)
        if not procfs.wait_stopped(self.pid, STOP_S):
            raise self._failed("Its process did not stand still while the other side was measured.")

    def _ended(self) -> SecateurError:
        self._process.join(END_S)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return self._failed(
                "Its process was killed, most often because memory ran out.", "Try a smaller batch."
            )
        if code is not None and code < 0:
            return self._failed(f"Its process crashed ({signal.Signals(-code).name}).")
        return self._failed(f"Its process ended (exit code {code}).")

    def _failed(self, detail: str, remedy: str = "") -> SecateurError:
        job = self._job
        return SecateurError(f"No latency in {job.runtime} at batch {job.batch}", detail, remedy)
