"""Latency of a model against its baseline, so that the number can be trusted on a shared machine.

Two sessions awake in one process disturb each other by a factor of four: their thread pools spin after each
call and take each other's processors. So each (model, runtime, batch) gets a fresh process, the two sides of
a comparison take turns, and whoever has no turn is stopped by the kernel. Turns are A B B A A B B A …: drift
of the machine that is linear over four blocks cancels, and there are half as many changes as in A B A B.
After a change the first calls, on cold caches and sleeping threads, are not counted.
"""

import contextlib
import dataclasses
import itertools
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.compute.latency.calls import Block
from engine.compute.latency.forks import Start, start
from engine.compute.latency.side import Measured, measured
from engine.compute.latency.worker import Measurement, Partner
from engine.compute.onnx.shape import Shape
from engine.errors import Unavailable
from engine.machine import environment, gpu_state, gpus, procfs, runtimes
from engine.params.preset import Latency
from engine.params.runtimes import INT8, Precision, Runtime

REWARM_MS = 5.0
"""Uncounted calls (at least one) after each change: where tried, calls were level after 2 to 4 ms."""
MOMENT_S = 0.3
"""In which others are seen to be quiet: long beside the kernel's ticks of a hundredth of a second."""
LEVEL, LEVEL_CALLS = 1.1, 3
"""Calls are level from where a few in a row take at most this many times what the counted ones take."""


@dataclass(frozen=True)
class Side:
    """One model: its artefact for each runtime (see `engine.compute.runtimes.base.artefact`).

    Attributes:
        refused: Why there is no artefact, for runtimes that have none.
        quantized: Whether the artefacts are an INT8 file.
        named: What the preset calls its models: of the user's own code, all that may be run to build one.
    """

    artefacts: Mapping[Runtime, Path]
    refused: Mapping[Runtime, str] = field(default_factory=dict)
    quantized: bool = False
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """How one side of a row is run."""

    runtime: Runtime
    precision: Precision
    batch: int
    threads: int
    device: str


def measure_pair(
    baseline: Side,
    compressed: Side,
    *,
    params: Latency,
    shape: Shape,
    threads: int,
    device: str = "cpu",
    against: Runtime | None = None,
    start: Start = start,
) -> list[dict[str, Any]]:
    """A row for each runtime, precision, batch size and number of threads of `params`, on the processors this
    process may use; `threads` where `params` names none.

    A row has

    - `runtime`, `precision` (`int8` for an INT8 file), `batch`, `threads`, `device` (where it ran), `cpu` (the
      processor's name);
    - `median_ms`, `p90_ms` of the compressed model's calls, and `calls`, their number; `throughput`, images a second;
    - `baseline_median_ms`, `baseline_p90_ms`, `baseline_runtime`, `baseline_precision`: the baseline runs as the
      compressed model does, in fp32 beside an INT8 file, or in fp32 in the runtime `against`;
    - `speedup`: the median over pairs of neighbouring blocks of baseline / compressed (above 1: the
      compressed model is faster); `speedup_low`, `speedup_high`: its quartiles;
    - `first_ms`: from the artefact to the end of the first call, compiling included (less where torch.compile finds a
      network of this structure in its cache on disk); `warmup_calls`, `warmup_ms`: the calls until they were level,
      that one among them. None of them is counted above;
    - `peak_memory` of loading and running the compressed model, bytes: the rise of the process's resident
      memory; on a GPU, of running it: the peak of torch's allocator, or what another runtime has taken of the card;
    - `foreign_load`: the share of our processors' time that went to other processes meanwhile, 0 to 1: from
      a few percent on, the times are longer than the models are slow, and more so with all processors in use;
    - on a GPU: `gpu`, its name and, as far as nvidia-smi tells, its clocks (`engine.machine.gpu_state`); `gpu_ms` and
      `baseline_gpu_ms`, the medians between two CUDA events around each call, where the runtime gives them: what is
      left of `median_ms` the processor took to start the work;
    - `float_operators` of an INT8 file: operators that the runtime computes in float, by type.

    Where runtime or machine cannot do it, the row has `unavailable`, the reason, in place of numbers. When both
    sides are the same artefacts, one process is measured and the speedup is 1.

    To be called while nothing else of ours computes (`engine.machine.lock.exclusive`). Raises SecateurError,
    naming runtime and batch, when a file cannot be read or a process ends.
    """
    rows = []
    for setup in _setups(params, threads, device, compressed.quantized):
        known = dataclasses.replace(setup, runtime=against, precision="fp32") if against else setup
        pair = ((baseline, known), (compressed, setup))
        why = _refusal(pair, checked_threads=params.threads is not None)
        measured = {"unavailable": why} if why else _row(pair, shape, params, start)
        rows.append(_about(setup, compressed.quantized) | measured)
    return rows


def outputs(
    side: Side,
    runtime: Runtime,
    images: Tensor,
    *,
    shape: Shape,
    threads: int,
    device: str = "cpu",
    start: Start = start,
) -> Tensor:
    """What a model gives in a runtime for `images`, normalized (N, C, H, W), from a process of its own.

    Raises Unavailable where the runtime can't run it.
    """
    job = _job(side, Setup(runtime, "fp32", 1, threads, device), shape)
    with measured(job, start) as process:
        return _loaded(process).outputs(images)


Pair = tuple[tuple[Side, Setup], tuple[Side, Setup]]
"""Baseline and compressed model, each with how it is run."""


def _setups(params: Latency, threads: int, device: str, quantized: bool) -> list[Setup]:
    wanted = params.model_copy(update={"precision": ("fp32",)}) if quantized else params
    return [
        Setup(runtime, precision, batch, each or threads, device)
        for runtime, precision, batch, each in wanted.combinations()
    ]


def _about(setup: Setup, quantized: bool) -> dict[str, Any]:
    return {
        "runtime": setup.runtime,
        "precision": INT8 if quantized else setup.precision,
        "batch": setup.batch,
        "threads": setup.threads,
        "device": runtimes.device_of(setup.runtime, setup.device),
        "cpu": environment.cpu()["model"],
    }


def _refusal(pair: Pair, *, checked_threads: bool) -> str:
    """Why the sides cannot be compared; empty if nothing is known against it."""
    for side, setup in pair:
        asked = setup.threads if checked_threads else None
        why = (
            runtimes.reason(setup.runtime, setup.precision, setup.device, asked)
            or (runtimes.no_int8(setup.runtime) if side.quantized else "")
            or side.refused.get(setup.runtime, "")
        )
        if why:
            return why
    return ""


def _row(pair: Pair, shape: Shape, params: Latency, start: Start) -> dict[str, Any]:
    """The numbers of one row, or why there are none."""
    (_, first), (compressed, last) = pair
    # Equal jobs share a process: a baseline against itself would only measure the machine.
    jobs = dict.fromkeys(_job(side, setup, shape) for side, setup in pair)
    try:
        with contextlib.ExitStack() as stack:
            sides = [_loaded(stack.enter_context(measured(job, start))) for job in jobs]
            compared = _compare(sides, params) | _of_gpu(sides, last)
            operators = {"float_operators": sides[-1].float_operators()} if compressed.quantized else {}
    except Unavailable as error:
        return {"unavailable": error.reason}
    known = {
        "baseline_runtime": first.runtime,
        "baseline_precision": first.precision,
        "throughput": 1000 * last.batch / compared["median_ms"],
    }
    return compared | known | operators


def _of_gpu(sides: list[Measured], setup: Setup) -> dict[str, Any]:
    """What the GPU says of itself, which has just worked for the row."""
    if not runtimes.device_of(setup.runtime, setup.device).startswith("cuda"):
        return {}
    card = next(iter(gpus.of_device(setup.device)), None)
    found: dict[str, Any] = {}
    if card is not None:
        found["gpu"] = {"name": card.name, **gpu_state.read(card)}
    if all(side.on_gpu for side in sides):
        before, after = (statistics.median(side.on_gpu) / 1e6 for side in (sides[0], sides[-1]))
        found |= {"gpu_ms": after, "baseline_gpu_ms": before}
    return found


def _job(side: Side, setup: Setup, shape: Shape) -> Measurement:
    return Measurement(
        setup.runtime,
        side.artefacts[setup.runtime],
        setup.precision,
        setup.batch,
        shape,
        setup.threads,
        setup.device,
        frozenset(os.sched_getaffinity(0)),
        side.named,
    )


def _compare(sides: list[Measured], params: Latency) -> dict[str, Any]:
    """What is measured of one side (baseline and compressed in one) or two."""
    # Before the first stop: whichever side dies or loses us wakes the other.
    for side, other in itertools.permutations(sides, 2):
        side.order(Partner(other.pid))
        side.answer()
    with _foreign_load(sides) as foreign:
        blocks = _blocks(sides, params)
    return (
        _statistics(blocks[0], blocks[-1])
        | _warm_up(sides[-1].uncounted, statistics.median(blocks[-1][0]))
        | {"peak_memory": sides[-1].peak_memory, "foreign_load": foreign[0]}
    )


def _warm_up(calls: list[int], level: float) -> dict[str, Any]:
    """The first calls, in nanoseconds, until one is near the `level` of later ones and so is the median from there on.

    >>> _warm_up([90_000_000, 5_000_000, 1_000_000, 1_000_000, 1_000_000], 1_000_000)
    {'first_ms': 90.0, 'warmup_calls': 2, 'warmup_ms': 95.0}
    """
    level_from = (
        index
        for index in range(1, len(calls))
        if max(calls[index], statistics.median(calls[index : index + LEVEL_CALLS])) <= LEVEL * level
    )
    count = next(level_from, len(calls))
    return {
        "first_ms": calls[0] / 1e6,
        "warmup_calls": count,
        "warmup_ms": sum(calls[:count]) / 1e6,
    }


def _blocks(sides: list[Measured], params: Latency) -> list[list[list[int]]]:
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
def _foreign_load(sides: list[Measured]) -> Iterator[list[float]]:
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


def becomes_quiet(share: float, deadline: float) -> bool:
    """Whether others take at most `share` of our processors' time for a moment that begins before `deadline`.

    `deadline` is a time of `time.monotonic`; one moment is always looked at.
    """
    while True:
        with _foreign_load([]) as foreign:
            time.sleep(MOMENT_S)
        if foreign[0] <= share:
            return True
        if time.monotonic() >= deadline:
            return False


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
    # By pairs, not by the medians of all: what disturbs for a second changes both blocks of its pairs alike.
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


def _loaded(side: Measured) -> Measured:
    """`side` once its model is loaded: one after the other, because two that load at once take longer."""
    side.answer()
    return side
