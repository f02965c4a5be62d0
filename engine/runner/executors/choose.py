"""The executor that a preset asks for, and the machine that it computes on. One row for each executor."""

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import UsageError
from engine.machine import gpus
from engine.machine.value import Machine, here
from engine.params.preset import Settings
from engine.presets.spec import Spec
from engine.runner.executors import nodes, request, site
from engine.runner.executors.base import Executor
from engine.runner.executors.local import LocalExecutor
from engine.studies.job import JobRequest
from engine.studies.plan import Job
from engine.studies.rundir import RunDir

MakeRequest = Callable[[Job, list[int] | None], JobRequest]
"""The request for a job on the given processors (None: any)."""


def machine(settings: Settings, device: str | None = None, threads: int | None = None) -> Machine:
    """The machine that trials of these settings run on; `device` (`cpu` or `cuda`) and `threads` where those are
    decided already."""
    together = settings.distributed
    each = together.here(settings.executor.slurm)
    return here(
        settings.device,
        threads or settings.threads,
        settings.executor.parallel * each,
        on=device,
        distributed=together.model_dump(mode="json") if together.processes > 1 else None,
        nodes=-(-together.processes // each),
    )


def known_machine(settings: Settings, workspace: Path) -> Machine | None:
    """The machine that trials would run on, as far as it can be known before; None for nodes that nobody has seen."""
    if settings.executor.slurm is None:
        return machine(settings)
    return nodes.known(workspace, request.checked(settings), settings)


def on_cluster(run: RunDir) -> bool:
    """Whether the study's tasks are jobs of a cluster."""
    return run.settings().of_trial(0).executor.slurm is not None


def executor(
    settings: Settings, parallel: int, on: Machine, make: MakeRequest, *, preload: Sequence[str] = ()
) -> Executor:
    """What runs the jobs, so many at a time; `preload` are modules that the workers should have imported."""
    return LocalExecutor(
        make,
        parallel,
        on.threads,
        processes=settings.distributed.here(settings.executor.slurm),
        gpus=gpus.of_device(settings.device) if on.device == "cuda" else (),
        preload=preload,
    )


def passed_over(spec: Spec) -> str:
    """What to tell of a preset that says it runs here, where site or user have others run by Slurm; empty elsewhere."""
    if not spec.says_where or spec.settings.executor.slurm is not None:
        return ""
    try:
        file = site.by_default()
    except UsageError:  # of no concern to what runs here
        return ""
    return (
        f"runs here, as the preset's executor says: by {site.shown(file)} others run by Slurm" if file else ""
    )
