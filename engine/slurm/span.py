"""A training that spans the nodes of a Slurm job: processes beyond the first node, started by `srun`."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from engine.errors import SecateurError
from engine.machine.allocation import number as variable

HELPER = (
    "import sys; from engine.compute.worker.together import help_out_elsewhere; "
    "help_out_elsewhere(sys.stdin.read(), sys.argv[1], int(sys.argv[2]))"
)


@dataclass
class Elsewhere:
    """The `srun` that holds the processes on the other nodes."""

    run: "subprocess.Popen[str]"

    def end(self, within_s: float) -> None:
        """Wait so long for the processes' end, and then see to it."""
        try:
            self.run.wait(within_s)
        except subprocess.TimeoutExpired:
            self.run.terminate()

    def ended(self) -> str:
        """Who has ended; empty while all run."""
        code = self.run.poll()
        return "" if code is None else f"a process on another node (srun ended with {code})"


def start(text: str, place: str, first: int, processes: int) -> Elsewhere:
    """Start so many helpers, number `first` and on, on all nodes of the job but this one; each reads `text`.

    Raises SecateurError outside of a job, or in one with fewer nodes than it takes.
    """
    nodes = variable(os.environ, "SLURM_JOB_NUM_NODES", 1)
    if nodes < 2:
        raise SecateurError(
            "There are fewer nodes than the training is for",
            f"distributed.processes asks for {processes} processes beyond this node, and the job has {nodes} node.",
            "Set executor.slurm.nodes as it was, or fewer processes.",
        )
    others = nodes - 1
    command = [
        "srun",
        f"--nodes={others}",
        f"--ntasks={processes}",
        f"--ntasks-per-node={-(-processes // others)}",
    ]
    # A node has the processors of one task: all processes there share them.
    command += [
        f"--exclude={_node()}",
        "--overlap",
        "--overcommit",
        "--cpu-bind=none",
        "--kill-on-bad-exit=1",
    ]
    run = subprocess.Popen(
        [*command, sys.executable, "-P", "-c", HELPER, place, str(first)], stdin=subprocess.PIPE, text=True
    )
    assert run.stdin is not None
    run.stdin.write(text)
    run.stdin.close()
    return Elsewhere(run)


def address() -> str:
    """What the other nodes reach this one by."""
    return socket.gethostname()


def _node() -> str:
    """This node, as Slurm calls it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def number() -> int:
    """This helper's number among those of its `srun`."""
    return variable(os.environ, "SLURM_PROCID")


def place_on_node() -> int:
    """This helper's number on its node."""
    return variable(os.environ, "SLURM_LOCALID")
