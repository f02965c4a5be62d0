"""The batch job that this process runs in, as its scheduler's variables tell."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

SCHEDULERS = {
    "Slurm": "SLURM_JOB_ID",
    "PBS": "PBS_JOBID",
    "LSF": "LSB_JOBID",
    "Flux": "FLUX_JOB_ID",
}
"""The variable by which a scheduler tells a job its number."""
NEAR_END_S = 90.0
"""How long before a job's end its scheduler's signal is taken for the warning of it."""


@dataclass(frozen=True)
class Allocation:
    """A job: what ends with it can't be left in the background.

    `restarts` counts how often the scheduler has put it back into its queue and started it again. `step` is the job's
    step (`0`, or empty outside of one), `task` this process's number among its `tasks`. `ends` is the time at which it
    is ended, in seconds since 1970, 0 where that is not told.
    """

    scheduler: str
    job: str
    restarts: int = 0
    step: str = ""
    task: int = 0
    tasks: int = 1
    ends: float = 0.0

    @classmethod
    def here(cls) -> Self | None:
        """The job that this process runs in; None outside of any."""
        for scheduler, variable in SCHEDULERS.items():
            if job := os.environ.get(variable):
                return cls(
                    scheduler,
                    job,
                    number(os.environ, "SLURM_RESTART_COUNT"),
                    os.environ.get("SLURM_STEP_ID", "") if scheduler == "Slurm" else "",
                    number(os.environ, "SLURM_PROCID"),
                    number(os.environ, "SLURM_STEP_NUM_TASKS", 1),
                    float(number(os.environ, "SLURM_JOB_END_TIME")),
                )
        return None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self | None:
        """From what `dataclasses.asdict` gave; None where it is not that."""
        try:
            return cls(**values)
        except TypeError:
            return None

    def before(self, other: "Allocation") -> bool:
        """Whether `other` is the same job, started again: then what ran in this one has ended."""
        same = (self.scheduler, self.job) == (other.scheduler, other.job)
        return same and self.restarts < other.restarts

    @property
    def name(self) -> str:
        """Such as `Slurm job 1234`."""
        return f"{self.scheduler} job {self.job}"

    @property
    def near_its_end(self) -> bool:
        """Whether the job's time is nearly used up."""
        return bool(self.ends) and time.time() > self.ends - NEAR_END_S


def number(variables: Mapping[str, str], name: str, default: int = 0) -> int:
    """What a scheduler's variable says, as a whole number; `default` where it is not set, or is something else."""
    return whole(variables.get(name, ""), default)


def whole(text: str, default: int = 0) -> int:
    """The whole number that a text is; `default` of any other text.

    >>> whole("12"), whole("max"), whole("²", 1)
    (12, 0, 1)
    """
    return int(text) if text.isdecimal() else default
