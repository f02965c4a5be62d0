"""What this process may use of the machine: control groups with all their parents, `ulimit`, and what Slurm gave.

Whatever reads `/proc` and `/sys` takes the folder that stands for `/`, so that any machine can be described by files.
"""

import contextlib
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.machine.allocation import number, whole
from engine.text.numbers import size

ROOT = Path("/")
UNLIMITED = 2**60
"""What version 1 says for memory without a limit is the largest number of whole pages: more than this in any case."""
ULIMITS = {
    "address space": (resource.RLIMIT_AS, "ulimit -v"),
    "data": (resource.RLIMIT_DATA, "ulimit -d"),
    "file size": (resource.RLIMIT_FSIZE, "ulimit -f"),
    "processes": (resource.RLIMIT_NPROC, "ulimit -u"),
    "open files": (resource.RLIMIT_NOFILE, "ulimit -n"),
    "processor time": (resource.RLIMIT_CPU, "ulimit -t"),
}
"""Limits of the shell's `ulimit` that can stop a study, by what they are of."""
ENOUGH = {"processes": 256, "open files": 256}
"""Counts from which on a limit is of no interest: every system has one."""
BYTES = frozenset({"memory", "address space", "data", "file size"})


@dataclass(frozen=True)
class Limit:
    """One limit: of what, how much (bytes, seconds or a count), who set it, and how much is used where that is known.

    Of memory, `used` leaves out the files that the kernel keeps in it and gives up when asked (`inactive_file`).
    """

    what: str
    value: int
    source: str
    used: int | None = None

    @property
    def text(self) -> str:
        """As a sentence has it: ``memory 2.5 GB (control group /job_7; 2.4 GB used)``."""
        used = "" if self.used is None else f"; {self._amount(self.used)} used"
        return f"{self.what} {self._amount(self.value)} ({self.source}{used})"

    def after(self) -> "Limit":
        """The limit as it is told after the process that met it has gone, and what that had used with it."""
        return replace(self, used=None)

    def _amount(self, value: int) -> str:
        return size(value) if self.what in BYTES else str(value)


def in_force(root: Path = ROOT) -> list[Limit]:
    """Every limit that there is on this process, the strictest of a kind first."""
    limits = [
        *memory(root),
        *(one for one in ulimits(root) if one.value < ENOUGH.get(one.what, UNLIMITED)),
        *_group_counts("pids", "pids.max", "pids.current", root),
        *processors(root),
    ]
    kinds = list(dict.fromkeys(limit.what for limit in limits))
    return sorted(limits, key=lambda limit: (kinds.index(limit.what), limit.value))


def sentence(*kinds: str, after: bool = False, root: Path = ROOT) -> str:
    """The strictest limit of each of these kinds (all by default) as one sentence; empty where there is none.

    `after`: the process that met a limit has gone, so that what is used now says nothing.
    """
    first: dict[str, Limit] = {}
    for limit in in_force(root):
        if not kinds or limit.what in kinds:
            first.setdefault(limit.what, limit.after() if after else limit)
    return f"Limits here: {', '.join(limit.text for limit in first.values())}." if first else ""


def memory(root: Path = ROOT) -> list[Limit]:
    """Limits of memory in bytes: of the process's control group and of each one above it, and Slurm's."""
    limits = []
    for folder, name in _chain("memory", root):
        value = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if value is not None and 0 < value < UNLIMITED:
            limits.append(Limit("memory", value, f"control group {name}", _used(folder)))
    return [*limits, *slurm_memory()]


def whole_memory(root: Path = ROOT) -> int:
    """Bytes of memory that all processes of this one's control group may have together, whatever is used now."""
    return min([_machine_memory("MemTotal", root), *(limit.value for limit in memory(root))])


def free_memory(root: Path = ROOT) -> int:
    """Bytes that this process may still take, by the machine and by every limit of memory and address space."""
    free = [_machine_memory("MemAvailable", root)]
    free += [limit.value - (limit.used or 0) for limit in memory(root)]
    free += [one.value - (one.used or 0) for one in ulimits(root) if one.what in ("address space", "data")]
    return max(0, min(free))


def ulimits(root: Path = ROOT) -> list[Limit]:
    """The limits of `ULIMITS` that are set on this process."""
    used = {"address space": _status("VmSize", root), "data": _status("VmData", root)}
    limits = []
    for what, (resource_number, source) in ULIMITS.items():
        value, _ = resource.getrlimit(resource_number)
        if value != resource.RLIM_INFINITY:
            limits.append(Limit(what, value, source, used.get(what)))
    return limits


def processors(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> list[Limit]:
    """Limits of the number of processors, beside the processors themselves."""
    limits = [
        Limit("processors", max(1, int(quota)), f"control group {name}")
        for folder, name in _chain("cpu", root)
        if (quota := _cpu_quota(folder)) is not None
    ]
    if given := number(variables, "SLURM_CPUS_PER_TASK"):
        limits.append(Limit("processors", given, "SLURM_CPUS_PER_TASK"))
    return limits


def usable_processors(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> int:
    """How many processors this process may use: those it is bound to, and every limit of their number."""
    bound = len(os.sched_getaffinity(0))
    return min([bound, *(limit.value for limit in processors(root, variables))])


def asked_threads(variables: Mapping[str, str] = os.environ) -> int | None:
    """The threads of a process that OMP_NUM_THREADS asks for; of a list, those of the outermost level.

    >>> asked_threads({"OMP_NUM_THREADS": "4,2"}), asked_threads({"OMP_NUM_THREADS": "many"})
    (4, None)
    """
    return whole(variables.get("OMP_NUM_THREADS", "").split(",")[0].strip()) or None


def slurm_memory(variables: Mapping[str, str] = os.environ) -> list[Limit]:
    """What Slurm gave this job of the node's memory; zero stands for all of it.

    >>> slurm_memory({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"})[0].text
    'memory 2.10 GB (SLURM_MEM_PER_CPU)'
    """
    if node := number(variables, "SLURM_MEM_PER_NODE"):
        return [Limit("memory", node << 20, "SLURM_MEM_PER_NODE")]
    cpus = number(variables, "SLURM_CPUS_ON_NODE") or number(variables, "SLURM_CPUS_PER_TASK", 1)
    if each := number(variables, "SLURM_MEM_PER_CPU"):
        return [Limit("memory", (each * cpus) << 20, "SLURM_MEM_PER_CPU")]
    return []


def oom_kills(root: Path = ROOT) -> int:
    """How often the kernel has killed a process of this process's own control group because memory ran out.

    A process that a group above ran out for is counted in its own.
    """
    for folder, _ in _chain("memory", root):
        for file in ("memory.events", "memory.oom_control"):
            for line in _read(folder / file).splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return whole(count)
    return 0


def _used(group: Path) -> int | None:
    """Bytes that a control group holds, less what the kernel gives up when they are asked for."""
    current = _number(group / "memory.current")
    current = _number(group / "memory.usage_in_bytes") if current is None else current
    if current is None:
        return None
    rows = dict(line.split() for line in _read(group / "memory.stat").splitlines() if line.count(" ") == 1)
    return max(0, current - int(rows.get("total_inactive_file", rows.get("inactive_file", 0))))


def _cpu_quota(group: Path) -> float | None:
    """Processors whose whole time a control group may use; None for all."""
    both = _read(group / "cpu.max").split()
    if len(both) == 2 and (time := whole(both[0])):
        return time / int(both[1])
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _group_counts(controller: str, most: str, now: str, root: Path) -> list[Limit]:
    return [
        Limit("processes", value, f"control group {name}", _number(folder / now))
        for folder, name in _chain(controller, root)
        if (value := _number(folder / most)) is not None
    ]


def _chain(controller: str, root: Path) -> list[tuple[Path, str]]:
    """The control group of this process, and all above it: folders, and names as Linux writes them, own group first."""
    mounts = _mounts(root)
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        kind = "cgroup2" if number == "0" and not controllers else controller
        if kind == "cgroup2" or controller in controllers.split(","):
            for mounted, point in mounts.get(kind, []):
                groups = _above(root / point.lstrip("/"), mounted, path)
                if any(True for folder, _ in groups for _ in folder.glob(f"{controller}.*")):
                    return groups
    return []


def _above(point: Path, mounted: str, path: str) -> list[tuple[Path, str]]:
    """The folders of group `path` and its parents below the mount point, where group `mounted` is the topmost seen.

    In a container the group's name may be one of the host's, of which nothing is seen: then the topmost counts.
    """
    inner = path.removeprefix(mounted.rstrip("/")).strip("/")
    parts = inner.split("/") if inner and ".." not in inner and (point / inner).is_dir() else []
    deepest = len(parts)
    return [
        (point.joinpath(*parts[:depth]), "/" + "/".join(parts[:depth])) for depth in range(deepest, -1, -1)
    ]


def _mounts(root: Path) -> dict[str, list[tuple[str, str]]]:
    """For `cgroup2` and for each controller of version 1: the group that is mounted, and where."""
    mounts: dict[str, list[tuple[str, str]]] = {}
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, last = before.split(), after.split()
        if len(fields) < 5 or len(last) < 3 or last[0] not in ("cgroup", "cgroup2"):
            continue
        kinds = ["cgroup2"] if last[0] == "cgroup2" else last[2].split(",")
        for kind in kinds:
            mounts.setdefault(kind, []).append((fields[3], fields[4].replace("\\040", " ")))
    return mounts


def _machine_memory(name: str, root: Path) -> int:
    """Bytes of memory that the machine has (`MemTotal`) or has to spare (`MemAvailable`)."""
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _status(name: str, root: Path) -> int | None:
    """A size of this process, in bytes, from its `status`."""
    for line in _read(root / "proc/self/status").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
