"""What a study asks of Slurm, checked before anything is written or sent: what can never start would wait for ever."""

import re

from engine.errors import SecateurError, UsageError
from engine.params.preset import Settings
from engine.params.slurm import Slurm
from engine.runner.executors import site
from engine.slurm import commands, duration, script

Partition = dict[str, str]
OVERRIDES = r"--(partition|clusters|time|nodes|cpus-per-task|mem|qos|reservation)\b|-[pMtNcq]"
"""Flags of `extra` after which it is not known here what is asked for."""
IMPOSSIBLE = "node configuration is not available"
"""What Slurm says of a request that no node of the partition can meet, whoever waits for it."""
UNITS_MB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


def checked(settings: Settings) -> Slurm:
    """What the preset asks for, completed by the site's and the user's files.

    Raises UsageError where that can't be: by itself, or as far as Slurm tells its partitions' limits.
    """
    asked = site.resolve(settings.executor.slurm or Slurm())
    _check_threads(settings, asked)
    _check_container(settings, asked)
    if problem := _too_large(asked) or _too_long(asked, certain=True):
        raise UsageError(
            "Slurm would never start this",
            problem,
            "Ask for less, or in another partition: `secateur doctor` lists them with what they have.",
        )
    return asked


def notes(asked: Slurm) -> list[str]:
    """What may keep the tasks waiting for ever, where it can't be known here."""
    problem = _too_long(asked, certain=False)
    return (
        [f"{problem} It waits for ever unless your quality of service lifts that limit."] if problem else []
    )


def _check_threads(settings: Settings, asked: Slurm) -> None:
    if asked.cpus is not None and isinstance(settings.threads, int) and settings.threads > asked.cpus:
        raise UsageError(
            f"threads: {settings.threads} is more than executor.slurm.cpus: {asked.cpus}",
            "The threads of a task would take turns on the processors that it asks for.",
            f"Use `threads: auto`, or executor.slurm.cpus={settings.threads}.",
        )


def _check_container(settings: Settings, asked: Slurm) -> None:
    together = settings.distributed
    if asked.container is not None and together.processes > together.here(settings.executor.slurm):
        raise UsageError(
            "A training can't span nodes from within a container",
            f"distributed.processes: {together.processes} over {asked.nodes} nodes, and executor.slurm.container: "
            "the first node's task would start the others by `srun`, which the image does not have.",
            "Use one node, or executor.slurm.setup in place of the container.",
        )


def _wanted(asked: Slurm, *, fresh: bool = False) -> list[Partition]:
    """The partitions that are asked for; none where they can't be known."""
    if any(re.match(OVERRIDES, flag) for flag in asked.extra) or asked.reservation is not None:
        return []
    rows = {one["name"]: one for one in site.partitions(fresh=fresh)}
    names = (
        asked.partition.split(",") if asked.partition else [n for n, one in rows.items() if one["default"]]
    )
    return [rows[name] for name in names] if all(name in rows for name in names) else []


def _too_large(asked: Slurm) -> str:
    """Why no node has what is asked for; empty where one has. Slurm itself is asked where it looks so, which knows of
    nodes that it shows to nobody."""
    if (asked.cpus, asked.nodes, asked.memory) == (None, None, None):
        return ""
    found = [_larger(asked, one) for one in _wanted(asked)]
    if not found or not all(found):
        return ""
    options = [f"--{name}={value}" for name, value in script.requested(asked).items()]
    try:
        commands.ask("sbatch", "--test-only", "--wrap=true", *options, *asked.extra)
    except SecateurError as error:
        return found[0] if IMPOSSIBLE in error.detail else ""
    return ""


def _larger(asked: Slurm, partition: Partition) -> str:
    name = partition["name"]
    cpus, memory, nodes = (partition[what] for what in ("most_cpus", "most_memory", "nodes"))
    if asked.cpus is not None and cpus.isdecimal() and asked.cpus > int(cpus):
        return f"executor.slurm.cpus is {asked.cpus}, and nodes of partition {name} have at most {cpus} processors."
    if asked.nodes is not None and nodes.isdecimal() and asked.nodes > int(nodes):
        return f"executor.slurm.nodes is {asked.nodes}, and partition {name} has {nodes}."
    if memory.isdecimal() and megabytes(asked.memory) > int(memory):
        return (
            f"executor.slurm.memory is {asked.memory}, and nodes of partition {name} have at most {memory}M."
        )
    return ""


def megabytes(memory: int | str | None) -> float:
    """What `--mem` takes such a value for; 0 of none.

    >>> megabytes("8G"), megabytes("512"), megabytes(None)
    (8192, 512, 0)
    """
    if memory is None:
        return 0
    amount, unit = re.fullmatch(r"(\d+)([KMGT]?)", str(memory), re.ASCII).groups()  # type: ignore[union-attr]
    return int(amount) * UNITS_MB[unit or "M"]


def _too_long(asked: Slurm, *, certain: bool) -> str:
    """Why the time limit is beyond that of every partition, where that is `certain`, or may be lifted for some.

    Slurm takes such a job all the same, unless it is configured otherwise, and never starts it.
    """
    wanted = duration.seconds(asked.time)
    if not wanted or not (found := [_longer(asked, wanted, one) for one in _wanted(asked)]) or not all(found):
        return ""
    if site.limits_may_be_lifted() == certain:
        return ""
    found = [_longer(asked, wanted, one) for one in _wanted(asked, fresh=True)]  # it may have changed today
    return found[0] if found and all(found) else ""


def _longer(asked: Slurm, wanted: int, partition: Partition) -> str:
    limit = partition["time"]
    if not re.fullmatch(r"(\d+-)?\d+(:\d\d){1,2}", limit, re.ASCII) or wanted <= duration.seconds(limit):
        return ""
    return f"executor.slurm.time is {asked.time}, and partition {partition['name']} ends jobs after {limit}."
