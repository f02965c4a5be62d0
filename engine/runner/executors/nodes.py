"""What tasks and submissions ask Slurm about nodes, and what the workspace remembers of them."""

import contextlib
import re
from pathlib import Path

from engine.errors import SecateurError
from engine.machine.value import Machine
from engine.params.preset import Settings
from engine.params.slurm import Slurm
from engine.slurm import commands
from engine.store.files import read_json, write_json
from engine.store.keys import key
from engine.store.workspace import machines

GONE = ("down", "drain", "fail", "unk", "no_resp", "boot", "powered")
"""How the states of nodes begin on which a task could not go on."""


def failed(host: str) -> str:
    """The state of a node that has failed; empty if it is well, or Slurm does not say."""
    try:
        state = commands.ask("sinfo", "-h", "-N", "-n", host, "-o", "%T").strip().splitlines()
    except SecateurError:
        return ""
    return next((one for one in state if one.lower().startswith(GONE) or one.endswith("*")), "")


def leave_out(job: str, hosts: list[str]) -> str:
    """Keep the waiting tasks of a job off these nodes; what came of it."""
    try:
        waiting = commands.ask("squeue", "-h", "-t", "PENDING", "-j", job, "-o", "%i").split()
        for row in waiting:
            array = re.sub(r"%\d+", "", row)  # the throttle is shown, and not taken
            commands.control("update", f"JobId={array}", f"ExcNodeList={','.join(hosts)}")
    except SecateurError as error:
        return f"it could not be left out: {error.detail}"
    return "tasks that wait leave it out" if waiting else "no task of this array waits"


def requeue(task: str) -> None:
    """Put a task back into the queue. Raises SecateurError where the site does not allow that."""
    commands.control("requeue", task)


def telling_features(wanted: str, mine: str) -> str:
    """A constraint that asks for nodes like `wanted` and not like `mine`, as a sentence."""
    theirs, ours = _features(wanted), _features(mine)
    only = sorted(theirs - ours)
    if only:
        return f"`executor.slurm.constraint={only[0]}` asks for nodes like {wanted};"
    return (
        f"Name the kind of node by executor.slurm.constraint, or leave {mine} out by executor.slurm.exclude;"
    )


def _features(host: str) -> set[str]:
    try:
        text = commands.ask("sinfo", "-h", "-N", "-n", host, "-o", "%f")
    except SecateurError:
        return set()
    return {name for line in text.split() for name in line.split(",")} - {"(null)"}


def remember(workspace: Path, asked: Slurm, settings: Settings, machine: Machine) -> None:
    """Keep what the nodes are that such a request gets, for the next study's check before it is submitted.

    Where the store is another user's, the check does without.
    """
    file = _known(workspace, asked, settings)
    with contextlib.suppress(OSError, SecateurError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, machine.as_dict(), durable=False)


def known(workspace: Path, asked: Slurm, settings: Settings) -> Machine | None:
    """What such a request got last; None before the first study."""
    noted = read_json(_known(workspace, asked, settings))
    try:
        return Machine.from_dict(noted) if isinstance(noted, dict) else None
    except TypeError:
        return None


def _known(workspace: Path, asked: Slurm, settings: Settings) -> Path:
    what = (
        "partition",
        "constraint",
        "nodes",
        "cpus",
        "memory",
        "gpus",
        "mixed_nodes",
        "container",
        "setup",
        "extra",
    )
    material = asked.model_dump(mode="json", include=set(what))
    own = key(material | {"device": settings.device, "threads": settings.threads})
    return machines(workspace) / f"{own[:24]}.json"
