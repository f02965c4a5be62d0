"""Why latency is measured the way it is: ResNet18 at 224 px, in PyTorch eager and ONNX Runtime.

Prints what the naive way reports (all sessions awake in one process, calls in turn) against ours, how far
repetitions of ours scatter, and the overhead: how many seconds a measurement takes beyond its blocks and
warm-up. "others" is the largest share of the processors' time that other processes took meanwhile; above a
few percent nothing here means much.

Run it on an otherwise idle machine: ``python -m benchmarks.latency_method [repetitions]``.
"""

import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.runtimes.base import artefact, session
from engine.machine import environment, private
from engine.params.preset import Latency
from engine.params.runtimes import Runtime

SHAPE = (3, 224, 224)
RUNTIMES: tuple[Runtime, ...] = ("torch", "onnxruntime")
NAIVE_CALLS = 40
REPETITIONS = 5


def main() -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload([*forks.PRELOAD, "torchvision"])
    threads = len(os.sched_getaffinity(0))
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
    print(f"{environment.cpu()['model']}, {threads} threads, batch 1\n")
    with private.scratch() as folder:
        sides = [_side(folder / name, name) for name in ("resnet18", "resnet18 too")]
        # Ours first: the naive way leaves its thread pools awake in this process.
        ours = [_ours(sides, threads) for _ in range(repetitions + 1)][1:]
        _report_naive(_naive(sides, threads), ours)
    _report_spread(ours)


def _side(folder: Path, name: str) -> Side:
    model = build(Architecture("torchvision/resnet18", 3, 1000, SHAPE[1:])).eval()
    folder.mkdir()
    checkpoint.save(model, folder)
    return Side({runtime: artefact(runtime, model, SHAPE, folder) for runtime in RUNTIMES})


def _ours(sides: list[Side], threads: int) -> dict[str, tuple[dict[str, float], float]]:
    """By runtime: the row, and the seconds it took."""
    rows: dict[str, tuple[dict[str, float], float]] = {}
    for runtime in RUNTIMES:
        start = time.perf_counter()
        (row,) = measure_pair(*sides, params=Latency(runtimes=(runtime,)), shape=SHAPE, threads=threads)
        rows[runtime] = (row, time.perf_counter() - start)
    return rows


def _naive(sides: list[Side], threads: int) -> dict[str, float]:
    """Median milliseconds by runtime, with all four sessions in this process and calls in turn."""
    opened = [
        (runtime, session(runtime, side.artefacts[runtime], batch=1, shape=SHAPE, threads=threads))
        for side in sides
        for runtime in RUNTIMES
    ]
    calls: dict[str, list[float]] = {runtime: [] for runtime in RUNTIMES}
    for _ in range(NAIVE_CALLS):
        for runtime, run in opened:
            start = time.perf_counter()
            run()
            calls[runtime].append((time.perf_counter() - start) * 1e3)
    return {runtime: statistics.median(times[10:]) for runtime, times in calls.items()}


def _report_naive(naive: dict[str, float], ours: list[dict[str, tuple[dict[str, float], float]]]) -> None:
    print(f"{'runtime':14}{'naive ms':>10}{'ours ms':>10}{'naive / ours':>14}")
    for runtime, wrong in naive.items():
        right = statistics.median(rows[runtime][0]["median_ms"] for rows in ours)
        print(f"{runtime:14}{wrong:10.2f}{right:10.2f}{wrong / right:14.2f}")


def _report_spread(ours: list[dict[str, tuple[dict[str, float], float]]]) -> None:
    params = Latency()
    timed_s = 2 * params.blocks * params.block_ms / 1e3
    warm_s = 2 * params.warmup_ms / 1e3
    print(f"\nTwo equal models, {len(ours)} repetitions; the true speedup is 1")
    print(f"{'runtime':14}{'median ms':>20}{'speedup':>20}{'seconds':>10}{'overhead':>10}{'others':>8}")
    for runtime in RUNTIMES:
        medians = [rows[runtime][0]["median_ms"] for rows in ours]
        speedups = [rows[runtime][0]["speedup"] for rows in ours]
        seconds = statistics.median(rows[runtime][1] for rows in ours)
        load = max(rows[runtime][0]["foreign_load"] for rows in ours)
        print(
            f"{runtime:14}{_range(medians):>20}{_range(speedups):>20}"
            f"{seconds:10.2f}{seconds - timed_s - warm_s:10.2f}{load:8.0%}"
        )


def _range(values: list[float]) -> str:
    return f"{min(values):.3f} … {max(values):.3f}"


if __name__ == "__main__":
    main()
