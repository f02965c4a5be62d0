"""What Linux tells about processes: who runs, on how much memory, on which processor."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_LOOK_S = 0.0001
_GONE = "X"
_STILL = {"T", "t", "Z", _GONE}


def wait_stopped(pid: int, timeout_s: float) -> bool:
    """Wait until every thread of `pid` is stopped, or gone. False at the timeout."""
    deadline = time.perf_counter() + timeout_s
    while not all(_state(task) in _STILL for task in _tasks(pid)):
        if time.perf_counter() >= deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _state(task: Path) -> str:
    """The thread's state as proc(5) spells it, such as R (running) or T (stopped)."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return _GONE


def _tasks(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def used_s(pid: int) -> float:
    """Processor time that the threads of `pid` have used, in seconds."""
    nanoseconds = 0
    for task in _tasks(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def used_with_children_s(pid: int) -> float:
    """Processor time of a process, of its children that live, and of all that these and it have waited for; seconds."""
    ticks = 0
    for one in (pid, *_children(pid)):
        with contextlib.suppress(OSError, IndexError):
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime stime cutime cstime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    pids: list[int] = []
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            pids += map(int, (task / "children").read_text().split())
    return pids


def busy_s(processors: Iterable[int]) -> float:
    """Time since boot that `processors` were busy for anyone, or taken by the hypervisor; sum, in seconds."""
    names = {f"cpu{number}" for number in processors}
    rows = (line.split() for line in (_PROC / "stat").read_text().splitlines())
    # Columns of proc(5): user nice system idle iowait irq softirq steal; guests are within user.
    ticks = (sum(map(int, row[1:4])) + sum(map(int, row[6:9])) for row in rows if row and row[0] in names)
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def peak_rss() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return _status("VmHWM")


def rss() -> int:
    """Resident memory of this process now, in bytes."""
    return _status("VmRSS")


def _status(key: str) -> int:
    for line in (_PROC / "self" / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0
