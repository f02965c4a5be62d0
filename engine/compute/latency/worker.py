"""The measured side of a latency measurement: one model in one runtime, alone in its process.

Serves orders from a pipe until the pipe closes, which it also does when the measuring process is killed.
"""

import contextlib
import gc
import importlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

from engine.compute import memory
from engine.compute.latency.calls import Block, timed
from engine.compute.numerics.aligned import to_array
from engine.compute.onnx.shape import Shape
from engine.compute.runtimes.base import OPENED, Session, float_operators, session
from engine.errors import SecateurError, Unavailable
from engine.machine import procfs, runtimes
from engine.params.runtimes import KIND, Precision, Runtime


@dataclass(frozen=True)
class Measurement:
    """What one process measures, and the processors it may use."""

    runtime: Runtime
    artefact: Path
    precision: Precision
    batch: int
    shape: Shape
    threads: int
    device: str
    processors: frozenset[int]
    named: tuple[str, ...] = ()
    """What the preset calls its models, for runtimes that build it."""


@dataclass(frozen=True)
class Partner:
    """Who is measured against this process: woken at the end, because whoever stopped it may be dead."""

    pid: int


@dataclass(frozen=True)
class Operators:
    """Say which operators are computed in float; the process is not timed afterwards."""


@dataclass(frozen=True)
class Outputs:
    """Give the model's output for these images, normalized (N, C, H, W), one at a time: some INT8 files quantize by the
    range of all images of a call. The process is not timed afterwards."""

    images: Tensor


@dataclass(frozen=True)
class Timed:
    """The answer: nanoseconds of each counted call, and the peak memory of loading and running, in bytes.

    `uncounted` are those of the warm-up before; of the first answer, what it took from the artefact to the end of
    the first call. `on_gpu` are nanoseconds of the counted calls by the GPU's own clock, where it tells.
    """

    calls: list[int]
    peak_memory: int
    uncounted: list[int] = field(default_factory=list)
    on_gpu: list[int] = field(default_factory=list)


def serve(job: Measurement, pipe: Connection) -> None:
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


def _serve(job: Measurement, pipe: Connection, partners: list[int]) -> None:
    os.sched_setaffinity(0, job.processors)  # the fork server's own may differ from our starter's
    gc.disable()
    # Else glibc takes eager PyTorch's tensors anew page by page in every call, of some processes more than of others:
    # two copies of a ResNet20 differed by up to a fifth at 32 images, mostly the one that was loaded first.
    memory.keep_freed()
    # The fork server may have it on for training; it makes eager PyTorch fill every new tensor.
    torch.use_deterministic_algorithms(False)
    try:
        run, peak, nanoseconds = _opened(job)
        pipe.send(Timed([], peak(), [nanoseconds]))
        while True:
            order: Partner | Block | Operators | Outputs = pipe.recv()
            if isinstance(order, Partner):
                partners.append(order.pid)
                pipe.send(Timed([], peak()))
            elif isinstance(order, Operators):
                pipe.send(_in_float(job))
            elif isinstance(order, Outputs):
                parts = [run.run(image) for image in torch.split(order.images, 1)]
                pipe.send(to_array(torch.cat(parts)))
            else:
                uncounted, calls = timed(run, order)
                on_gpu = (getattr(run, "on_gpu", None) or [])[-len(calls) :]
                pipe.send(Timed(calls, peak(), uncounted, on_gpu))
    except SecateurError as error:
        pipe.send(error)
    except (RuntimeError, ValueError, MemoryError) as error:  # what torch raises
        pipe.send(SecateurError(f"{type(error).__name__} while it ran", str(error)))


def _in_float(job: Measurement) -> dict[str, int]:
    return float_operators(job.runtime, job.artefact, batch=job.batch, shape=job.shape, device=job.device)


def _opened(job: Measurement) -> tuple[Session, Callable[[], int], int]:
    """The session, a function for the peak memory since before it was loaded, and the nanoseconds it took."""
    if runtimes.device_of(job.runtime, job.device).startswith("cuda"):
        return _opened_on_gpu(job)
    _touch(job)
    before = procfs.rss()
    loaded, took = _session(job)
    return loaded, lambda: max(procfs.peak_rss() - before, 0), took


def _opened_on_gpu(job: Measurement) -> tuple[Session, Callable[[], int], int]:
    """The same on a GPU, whose memory counts."""
    if KIND[job.runtime].reads == "folder":
        loaded, took = _session(job)
        # The first call tries kernels, some of which take far more memory than those that are chosen.
        torch.cuda.reset_peak_memory_stats(job.device)
        return loaded, lambda: torch.cuda.max_memory_allocated(job.device), took
    if why := runtimes.missing(job.runtime, job.device):
        raise Unavailable(why)
    torch.cuda.init()  # type: ignore[no-untyped-call]  # what another allocator takes of the card comes after the context
    before, _ = torch.cuda.mem_get_info(job.device)
    loaded, took = _session(job)
    after, _ = torch.cuda.mem_get_info(job.device)
    return loaded, lambda: max(before - after, 0), took


def _session(job: Measurement) -> tuple[Session, int]:
    """The session after its first call, and the nanoseconds until then."""
    started = time.perf_counter_ns()
    loaded = session(
        job.runtime,
        job.artefact,
        batch=job.batch,
        shape=job.shape,
        threads=job.threads,
        device=job.device,
        precision=job.precision,
        named=job.named,
    )
    loaded()
    return loaded, time.perf_counter_ns() - started


def _touch(job: Measurement) -> None:
    """Use the runtime's libraries once, so that their own memory is not taken for the model's."""
    if why := runtimes.missing(job.runtime, job.device):
        raise Unavailable(why)
    images = torch.rand(1, 3, 16, 16)
    layer = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        layer(images.to(memory_format=torch.channels_last))
    for name in OPENED[job.runtime].libraries:
        importlib.import_module(name)
