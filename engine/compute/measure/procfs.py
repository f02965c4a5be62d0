"""What Linux tells about processes: who runs, on how much memory, on which processor."""

import platform
import time
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


def cpu_model() -> str:
    """The processor's name, such as ``Intel(R) Xeon(R) Gold 6348 CPU @ 2.60GHz``."""
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
