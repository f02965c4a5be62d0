"""Which process something was done by, so that another can tell whether it lives: on this machine, or only there."""

import ctypes
import os
import signal
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""

Fate = Literal["alive", "gone", "elsewhere"]


@dataclass(frozen=True)
class Process:
    """A process, told apart from every other on any machine; an empty text is what was not known.

    `start_ticks` is its start time, so that a number used again is not taken for it. `boot_id` tells the boot of the
    kernel, `machine_id` the installation, `pid_space` the kernel's namespace of process numbers (a container's).
    """

    host: str = ""
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    machine_id: str = ""
    pid_space: str = ""

    @classmethod
    def this(cls) -> Self:
        """This process."""
        pid = os.getpid()
        ticks, boot_id = process_identity(pid)
        return cls(socket.gethostname(), pid, ticks, boot_id, machine_id(), _pid_space())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From what `dataclasses.asdict` gave; what is missing or of another kind counts as not known."""
        known = asdict(cls())
        return cls(**{n: v for n, v in values.items() if n in known and isinstance(v, type(known[n]))})

    def fate(self) -> Fate:
        """Whether it lives; `elsewhere` where its machine's own list of processes can't be asked.

        A boot other than ours is an earlier one of this machine only if the installation is the same: nodes may share
        a host name.
        """
        ticks, boot_id = process_identity(self.pid)
        if self.host != socket.gethostname() or (self.pid_space and self.pid_space != _pid_space()):
            return "elsewhere"
        if self.boot_id != boot_id and self.machine_id not in ("", machine_id()):
            return "elsewhere"
        return "alive" if self.pid and (self.start_ticks, self.boot_id) == (ticks, boot_id) else "gone"

    @property
    def suspended(self) -> bool:
        """Whether a signal (SIGSTOP, Ctrl-Z) keeps it from running; asked on its own machine only."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        except OSError:
            return False


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however that comes (prctl(2))."""
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0 and os.getppid() == 1:
        os._exit(0)  # it has ended already


def process_identity(pid: int) -> tuple[int, str]:
    """Start time in clock ticks and boot id; (0, …) if there is no such process or it is a zombie."""
    boot_id = _boot_id()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, boot_id
    state, start = fields[0], fields[19]
    return (0, boot_id) if state in "ZX" else (int(start), boot_id)


@cache
def _boot_id() -> str:
    return _line("/proc/sys/kernel/random/boot_id")


@cache
def machine_id() -> str:
    """What tells this installation from others (machine-id(5)); empty where there is none."""
    return _line("/etc/machine-id")


def _pid_space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
