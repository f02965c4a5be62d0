"""What a study asks of Slurm: `executor.slurm` of a preset, a user's and a site's file."""

from typing import Annotated

from pydantic import Field

from engine.params.base import Params, Several, param

Word = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f]+$")]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Text that goes into a line of a batch script, and can't begin another one."""
Lines = Annotated[tuple[Line, ...], Several]
Limit = Annotated[str, Field(pattern=r"^(\d+-)?\d+(:\d\d){0,2}$")]
Bytes = Annotated[str, Field(pattern=r"^\d+[KMGT]?$")]
Gres = Annotated[str, Field(pattern=r"^([^\s:]+:)?\d+$")]
Count = Annotated[int, Field(ge=1)]


class Slurm(Params):
    """Run as jobs of a Slurm cluster; what is not given is not asked for, so that the site's defaults hold."""

    partition: Word | None = param(None, form="text without spaces")
    """Partition, or several with commas (`--partition`)."""
    account: Word | None = param(None, form="text without spaces")
    """Account to charge (`--account`)."""
    qos: Word | None = param(None, form="text without spaces")
    """Quality of service (`--qos`)."""
    time: Count | Limit | None = param(None, form="minutes, hours:minutes:seconds or days-hours")
    """Time limit of a task (`--time`); a task that meets it goes on where it was, with `signal_before`."""
    nodes: int | None = param(None, ge=1, le=10_000)
    """Nodes of a task (`--nodes`): `distributed.processes` are spread over them; one process computes on the first."""
    cpus: int | None = param(None, ge=1, le=4096, unit="processors")
    """Processors of a task (`--cpus-per-task`); `threads: auto` takes all of them."""
    memory: Count | Bytes | None = param(None, form="megabytes, or a number with K, M, G or T")
    """Memory of a task (`--mem`), such as `8G`; some sites forbid to ask for it."""
    gpus: Count | Gres | None = param(None, form="a number, or type:number")
    """GPUs of a task (`--gres=gpu:`), such as `1` or `a100:1`."""
    constraint: Line | None = param(None, form="text on one line")
    """Features that nodes must have (`--constraint`): bit-equality needs like processors."""
    exclude: Word | None = param(None, form="text without spaces")
    """Nodes to leave out (`--exclude`)."""
    reservation: Word | None = param(None, form="text without spaces")
    """Reservation to use (`--reservation`)."""
    parallel: int | None = param(None, ge=1, le=10_000, unit="tasks")
    """Tasks that run at the same time (the `%N` of an array); `secateur throttle STUDY 8` changes it while they run."""
    tasks: int | None = param(None, ge=1, le=100_000)
    """Tasks that the trials are dealt out to, so that a short trial is not a job of its own; by default at most
    100, or as many as run at the same time if these are more."""
    requeue: bool | None = None
    """Whether Slurm may start a task again after preemption or a node's failure (`--requeue`, `--no-requeue`)."""
    signal_before: int | None = param(None, ge=1, le=65_535, unit="seconds")
    """How long before the time limit a task is told (`--signal=B:USR1@…`): it keeps the epoch that runs and puts
    itself back into the queue. Give it an epoch's time."""
    latency_exclusive: bool = False
    """Whether latency is measured on whole nodes (`--exclusive`); else rows are marked as of a shared node."""
    mixed_nodes: bool = False
    """Whether one study may compute on unlike processors: results then repeat bit for bit on none."""
    stage_data: bool = False
    """Whether images are copied to the node's own disk first (`$TMPDIR`), once per node and job."""
    setup: Lines = param((), form="texts on one line each")
    """Lines of shell before a task starts, such as `module load cuda`."""
    container: Line | None = param(None, form="text on one line")
    """Image that tasks run in, by `apptainer exec`; secateur must be installed in it."""
    extra: Lines = param((), form="texts on one line each")
    """Further flags for `sbatch`, last, such as `--mail-type=END`."""


class Settled(Slurm):
    """What a site's or a user's file says: the same options, and whether they are for presets that say nothing."""

    default: bool = False
    """Whether presets that do not say where they run do so by Slurm."""
