"""Memory: smaller pieces before giving up on a GPU's, keeping a processor's, and how much was needed."""

import ctypes
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from engine.errors import SecateurError, sentences
from engine.machine import procfs

T = TypeVar("T")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""


NO_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "bad allocation",
    "Failed to allocate memory",
)
"""What libraries say when an allocation fails: torch, the system, C++ and ONNX Runtime."""


def lacks_memory(error: BaseException) -> bool:
    """Whether it was for want of memory."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error) for words in NO_MEMORY)


class Told(UserWarning):
    """A warning whose text is for the user: a worker tells it as a notice."""


def halving_batch(run: Callable[[int], T], batch: int) -> T:
    """`run(batch)`, again with half the batch whenever the GPU's memory does not suffice, which is told."""
    while True:
        try:
            return run(batch)
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise out_of_memory(error) from error
        torch.cuda.empty_cache()
        batch //= 2
        text = (
            f"Out of GPU memory: evaluating {batch} images at a time. Last bits may differ from those of a GPU that "
            "has room for more"
        )
        warnings.warn(Told(text), stacklevel=2)


def out_of_memory(error: BaseException | None = None, step: str = "") -> SecateurError:
    """The error for a GPU whose memory does not suffice; of what the allocator says, the amounts are told."""
    asked, total, free = (
        _amount(words, str(error)) for words in ("Tried to allocate", "capacity of", "of which")
    )
    had = f", and {free} of {total} were free" if total and free else ""
    wanted = (
        f"{step or 'The step'} asked for {asked} more{had}"
        if asked
        else f"It happened in {step}"
        if step
        else ""
    )
    alone = (
        "" if step else "Even one image at a time does not fit beside the model and what else runs on the GPU"
    )
    return SecateurError(
        "Out of GPU memory",
        sentences(*filter(None, (wanted, alone))),
        "Use a smaller batch where the step trains, a smaller data.size or model, fewer trials at a time "
        "(executor.local.parallel), or device: cpu; or wait until the GPU is free. Evaluation is done in pieces that "
        "fit as it is. Then `secateur resume`: nothing finished is lost.",
    )


def _amount(words: str, text: str) -> str:
    """
    >>> _amount("Tried to allocate", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity")
    '2.00 GiB'
    """
    found = re.search(rf"{words} ([0-9.]+ [KMGT]?i?B|[0-9]+ bytes)", text)
    return found[1] if found else ""


def reset_peak() -> None:
    """Start a new measurement of this process's peak memory, without what is kept free for later."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux's own /proc, or hidden: the peak then counts from the process's start


def peak_bytes(device: torch.device) -> int:
    """Peak memory since `reset_peak`: of the GPU's allocator, or resident memory of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return procfs.peak_rss()


def keep_freed() -> None:
    """Have the C library keep what is freed for the next tensors, for as long as this process lives.

    glibc gives the system back what lies free at the end of its heap, which is most of a network's activations
    after every update, and takes it anew page by page: 3 to 7 % of the processor time of training ResNet20 on
    one thread. Other C libraries are left as they are.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(M_TRIM_THRESHOLD, 2**31 - 1)
        # Beyond half a heap glibc before 2.35 takes no such threshold.
        if not adjust(M_MMAP_THRESHOLD, 2**30):
            adjust(M_MMAP_THRESHOLD, 2**25)
