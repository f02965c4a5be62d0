"""What processes of this machine use now: processor time and memory, and GPUs where a driver tells."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.machine.gpus import nvidia_smi

_PROC = Path("/proc")
ASK_GPUS = ("--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True)
class Usage:
    """Of some processes and those that they started: processor seconds used so far, resident memory in bytes."""

    cpu_s: float = 0.0
    memory: int = 0
    processes: int = 0


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine: the share of time it was busy, 0 to 1, and its memory in bytes."""

    busy: float
    used: int
    total: int


def usage(pids: Iterable[int]) -> Usage:
    """Of these processes with their children; nothing of those that are gone."""
    found = Usage()
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    todo, seen = list(pids), set[int]()
    while todo:
        pid = todo.pop()
        if pid in seen:
            continue
        seen.add(pid)
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            resident = int((_PROC / str(pid) / "statm").read_text().split()[1])
            cpu = (int(fields[11]) + int(fields[12])) / ticks  # utime and stime, proc(5)
            found = Usage(found.cpu_s + cpu, found.memory + resident * page, found.processes + 1)
            for task in (_PROC / str(pid) / "task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


def gpus() -> list[Gpu]:
    """Every NVIDIA GPU, as the driver's own program tells; none where there is none. Takes about 0.1 s."""
    text = nvidia_smi(*ASK_GPUS, within_s=ANSWER_WITHIN_S)
    try:
        rows = [[float(part) for part in line.split(",")] for line in text.splitlines()]
        return [Gpu(busy / 100, int(used) << 20, int(total) << 20) for busy, used, total in rows]
    except ValueError:
        return []
