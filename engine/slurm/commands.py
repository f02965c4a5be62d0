"""Slurm's own programs, each call with a limit of time; what they refuse becomes an error a user can act on."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from engine.errors import SecateurError

PATIENCE_S = 30.0
"""How long a program of Slurm's may take: a controller that is away makes them wait for about ten seconds."""
CLEARED = ("SLURM_", "SBATCH_", "SALLOC_", "SRUN_")
"""Variables by which a job that we run in would set what a job that we submit asks for."""
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")


def ask(*command: str, patience_s: float = PATIENCE_S) -> str:
    """The output of one of Slurm's programs.

    Raises SecateurError when it is not there, does not answer in time, or refuses.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience_s,
            env=_outside(),
        )
    except FileNotFoundError:
        raise SecateurError(
            f"There is no {command[0]} on this machine",
            "The preset asks for Slurm (executor.slurm).",
            "Run it where Slurm's commands are, or take executor.slurm out of the preset.",
        ) from None
    except subprocess.TimeoutExpired:
        raise SecateurError(
            "Slurm does not answer", f"{command[0]} took more than {patience_s:.0f} s.", "Try again later."
        ) from None
    if done.returncode:
        raise SecateurError(f"{command[0]} refused", said(done.stderr) or f"Exit code {done.returncode}.")
    return done.stdout


def submit(script: Path, flags: Sequence[str] = ()) -> str:
    """Send a batch script; the job's number. Raises SecateurError with Slurm's own reason."""
    try:
        answer = ask("sbatch", "--parsable", *flags, str(script))
    except SecateurError as error:
        if error.title != "sbatch refused":
            raise
        raise SecateurError(
            "Slurm does not take the job",
            error.detail,
            "Nothing of it runs. Change executor.slurm (`secateur params executor`), or look at the script with "
            "`secateur run … --show-script`.",
        ) from error
    return answer.strip().splitlines()[-1].partition(";")[0]


def cancel(jobs: Sequence[str]) -> None:
    """End jobs, arrays or single tasks, waiting or running."""
    if jobs:
        ask("scancel", *jobs)


def control(*words: str) -> None:
    """A `scontrol` call, such as `control("hold", "17")`."""
    ask("scontrol", *words)


def said(text: str) -> str:
    """What one of Slurm's programs said on stderr, on one line without its own name.

    >>> said("sbatch: error: Batch job submission failed: Invalid account\\n")
    'Batch job submission failed: Invalid account'
    """
    lines = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in text.splitlines()]
    return " ".join(dict.fromkeys(line for line in lines if line))


def _outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(CLEARED)}
