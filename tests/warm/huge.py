"""Imported by the tests' server when it has all else: its memory in pages of 2 MiB, if Linux has them.

It forks a process for each command, engine, worker and measured network. With pages of 4 KiB, most of what a small one
computes is to copy the table of a hundred thousand of them, and to take it down at its end.
"""

import ctypes
from pathlib import Path

SIZE = 1 << 21
COLLAPSE = 25
"""Linux's MADV_COLLAPSE (from 6.1 on; older ones refuse it, and all stays as it is)."""


def _collapse() -> None:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, _, *name = line.split(maxsplit=5)
        first, end = (int(address, 16) for address in span.split("-"))
        first, end = -(-first // SIZE) * SIZE, end // SIZE * SIZE
        if rights == "rw-p" and name in ([], ["[heap]"]) and first < end:
            madvise(first, end - first, COLLAPSE)


_collapse()
