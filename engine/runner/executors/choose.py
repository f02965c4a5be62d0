"""The executor that a preset asks for, and the machine that it computes on. One row for each executor."""

from collections.abc import Callable, Sequence

from engine.machine.value import Machine, here
from engine.params.preset import Settings
from engine.runner.executors.base import Executor
from engine.runner.executors.local import LocalExecutor
from engine.studies.job import JobRequest
from engine.studies.plan import Job

MakeRequest = Callable[[Job, list[int] | None], JobRequest]
"""The request for a job on the given processors (None: any)."""


def machine(settings: Settings, device: str | None = None, threads: int | None = None) -> Machine:
    """The machine that trials of these settings run on; `device` and `threads` where those are decided already."""
    return here(device or settings.device, threads or settings.threads, settings.executor.parallel)


def executor(settings: Settings, on: Machine, make: MakeRequest, *, preload: Sequence[str] = ()) -> Executor:
    """What runs the jobs; `preload` are modules that the workers should have imported."""
    return LocalExecutor(make, settings.executor.parallel, on.threads, preload=preload)
