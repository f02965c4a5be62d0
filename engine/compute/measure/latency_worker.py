"""The measured side of a latency measurement: one model in one runtime, alone in its process.

Serves orders from a pipe until the pipe closes, which it also does when the measuring process is killed.
"""

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from engine.compute.measure import procfs
from engine.compute.runtimes.base import Runtime, Session, Shape, session
from engine.errors import SecateurError


@dataclass(frozen=True)
class Job:
    """What one process measures, and the processors it may use."""

    runtime: Runtime
    artefact: Path
    batch: int
    shape: Shape
    threads: int
    device: str
    processors: frozenset[int]


@dataclass(frozen=True)
class Block:
    """Call for `warm_ms` uncounted, then for `timed_ms` counted; at least once each, if not 0."""

    warm_ms: float
    timed_ms: float


@dataclass(frozen=True)
class Partner:
    """Who is measured against this process: woken at the end, because whoever stopped it may be dead."""

    pid: int


@dataclass(frozen=True)
class Timed:
    """The answer: nanoseconds of each counted call, and the peak memory of loading and running, in bytes."""

    calls: list[int]
    peak_memory: int


def serve(job: Job, pipe: Connection) -> None:
    """Load the model and answer every order with `Timed`, until the other end is closed.

    An error is sent as the last answer.
    """
    partners: list[int] = []
    try:
        _serve(job, pipe, partners)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody is left to measure for
    finally:
        for partner in partners:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(partner, signal.SIGCONT)


def _serve(job: Job, pipe: Connection, partners: list[int]) -> None:
    os.sched_setaffinity(0, job.processors)  # the fork server's own may differ from our starter's
    gc.disable()
    # The fork server may have it on for training; it makes eager PyTorch fill every new tensor.
    torch.use_deterministic_algorithms(False)
    try:
        run, peak = _opened(job)
        pipe.send(Timed([], peak()))
        while True:
            order: Partner | Block = pipe.recv()
            if isinstance(order, Partner):
                partners.append(order.pid)
                pipe.send(Timed([], peak()))
            else:
                pipe.send(Timed(timed(run, order), peak()))
    except SecateurError as error:
        pipe.send(error)
    except (RuntimeError, ValueError, MemoryError) as error:  # what torch raises
        pipe.send(SecateurError(f"{type(error).__name__} while it ran", str(error)))


def timed(run: Callable[[], None], block: Block) -> list[int]:
    """Nanoseconds of each counted call of `block`."""
    clock = time.perf_counter_ns
    end = clock() + int(block.warm_ms * 1e6)
    while clock() < end:
        run()
    calls: list[int] = []
    end = clock() + int(block.timed_ms * 1e6)
    # Whoever waited for a processor until the block's end still owes the one call.
    while (start := clock()) < end or (block.timed_ms and not calls):
        run()
        calls.append(clock() - start)
    return calls


def _opened(job: Job) -> tuple[Session, Callable[[], int]]:
    """The session, and a function for the peak memory since before it was loaded."""
    if job.device.startswith("cuda") and job.runtime == "torch":
        torch.cuda.reset_peak_memory_stats(job.device)
        loaded = _session(job)
        return loaded, lambda: torch.cuda.max_memory_allocated(job.device)
    _touch(job.runtime)
    before = procfs.rss()
    loaded = _session(job)
    return loaded, lambda: max(procfs.peak_rss() - before, 0)


def _session(job: Job) -> Session:
    loaded = session(
        job.runtime,
        job.artefact,
        batch=job.batch,
        shape=job.shape,
        threads=job.threads,
        device=job.device,
    )
    loaded()
    return loaded


def _touch(runtime: Runtime) -> None:
    """Use the runtime's libraries once, so that their own memory is not taken for the model's."""
    images = torch.rand(1, 3, 16, 16)
    layer = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        layer(images.to(memory_format=torch.channels_last))
    if runtime == "onnxruntime":
        import engine.compute.runtimes.onnxruntime  # noqa: F401
