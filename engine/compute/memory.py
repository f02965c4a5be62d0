"""Running out of GPU memory: smaller pieces before giving up."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from engine.errors import SecateurError

T = TypeVar("T")


def halving_batch(run: Callable[[int], T], batch: int) -> T:
    """`run(batch)`, again with half the batch whenever the GPU's memory does not suffice."""
    while True:
        try:
            return run(batch)
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise out_of_memory() from error
        torch.cuda.empty_cache()
        batch //= 2


def out_of_memory() -> SecateurError:
    return SecateurError(
        "Out of GPU memory, even one image at a time",
        "The model itself does not fit on the device beside what else runs there.",
        "Use a smaller model or data.size, device: cpu, or wait until the GPU is free.",
    )


def reset_peak() -> None:
    """Start a new measurement of this process's peak memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux's own /proc, or hidden: the peak then counts from the process's start


def peak_bytes(device: torch.device) -> int:
    """Peak memory since `reset_peak`: of the GPU's allocator, or resident memory of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
