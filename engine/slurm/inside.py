"""What a job's process knows of itself, by the variables that Slurm sets in it."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.machine.allocation import number


@dataclass(frozen=True)
class Attempt:
    """One run of one task of an array; a requeued task has another `restart`.

    `job` is the array's number, `index` the task's place in it; `cpus` and `memory_mb` are what it was given (0: not
    told), `whole_node` whether no other job can be on its node. `ends` is when its time is over, in seconds since
    1970, 0 where Slurm does not say.
    """

    job: str
    index: int
    restart: int
    host: str
    partition: str
    cpus: int
    memory_mb: int
    whole_node: bool
    ends: float = 0.0

    @property
    def name(self) -> str:
        """As Slurm calls the task, which is how it is requeued and cancelled: ``17_3``."""
        return f"{self.job}_{self.index}"

    @property
    def key(self) -> str:
        """What tells this attempt from every other: ``17_3.0``."""
        return f"{self.name}.{self.restart}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def attempt(variables: Mapping[str, str] = os.environ) -> Attempt | None:
    """The attempt that this process belongs to; None outside of a job."""
    job = variables.get("SLURM_ARRAY_JOB_ID") or variables.get("SLURM_JOB_ID")
    if not job:
        return None
    cpus = number(variables, "SLURM_CPUS_ON_NODE")
    return Attempt(
        job,
        number(variables, "SLURM_ARRAY_TASK_ID"),
        number(variables, "SLURM_RESTART_COUNT"),
        socket.gethostname() if "SLURMD_NODENAME" not in variables else variables["SLURMD_NODENAME"],
        variables.get("SLURM_JOB_PARTITION", ""),
        cpus,
        number(variables, "SLURM_MEM_PER_NODE") or cpus * number(variables, "SLURM_MEM_PER_CPU"),
        cpus >= (os.cpu_count() or 1),
        float(number(variables, "SLURM_JOB_END_TIME")),
    )


def by_hand(index: int) -> Attempt:
    """For a script that somebody runs outside of Slurm."""
    return Attempt(f"hand{os.getpid()}", index, 0, os.uname().nodename, "", 0, 0, False)


def software() -> dict[str, str]:
    """What this process's software comes from."""
    values = {
        "interpreter": sys.executable,
        "modules": os.environ.get("LOADEDMODULES", ""),
        "container": os.environ.get("APPTAINER_CONTAINER", ""),
    }
    return {name: value for name, value in values.items() if value}
