"""How much memory images may take."""

import contextlib
import os
from pathlib import Path

SHARE = 0.5
"""Of the memory that is free, what one data set may take: the rest is for the model and for other trials."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux keeps the limits of a container or a Slurm job (version 2)."""


def budget() -> int:
    """Bytes that decoded images may take now."""
    return int(SHARE * min(_free(), _allowed()))


def _free() -> int:
    """Bytes of memory that the machine has to spare."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _allowed() -> float:
    """Bytes until the limit of this process's control group; infinite where there is none."""
    group = CGROUP
    with contextlib.suppress(OSError):
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::/")[2]
        group = CGROUP / own if (CGROUP / own / "memory.max").exists() else CGROUP
    with contextlib.suppress(OSError, ValueError):
        used = int((group / "memory.current").read_text())
        return max(0, int((group / "memory.max").read_text()) - used)
    return float("inf")
