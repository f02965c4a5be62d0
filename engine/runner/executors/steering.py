"""What is done to a study's jobs while they wait and run: held, released, throttled."""

from collections.abc import Callable

from engine.errors import SecateurError, UsageError
from engine.slurm import commands, queue
from engine.store import owners
from engine.store.files import write_atomic
from engine.studies.rundir import RunDir
from engine.studies.status import OPEN
from engine.studies.tasks import Tasks

THROTTLE = "throttle"
"""Where the last number that was set for a study is noted."""


def open_jobs(run: RunDir) -> list[str]:
    """The numbers of the study's jobs that may still wait or run: those it noted, and those that carry its comment."""
    jobs = run.jobs()
    rows = queue.look().of(jobs, str(run.path))
    tasks = Tasks.read(run)
    latest = jobs[-len(tasks.stages) :] if tasks and tasks.stages else ()
    return list(dict.fromkeys([*latest, *(row.job for row in rows if row.waits or row.runs)]))


def hold(run: RunDir) -> None:
    """Keep what waits from starting."""
    _each(run, lambda job: commands.control("hold", job))


def release(run: RunDir) -> None:
    """Let what was held start."""
    _each(run, lambda job: commands.control("release", job))


def throttle(run: RunDir, tasks: int) -> None:
    """Let so many tasks of each stage run at the same time, from now on; 0: as many as there are nodes for."""
    _each(run, lambda job: commands.control("update", f"JobId={job}", f"ArrayTaskThrottle={tasks}"))
    write_atomic(run.slurm / THROTTLE, f"{tasks}\n")


def throttled(run: RunDir) -> int | None:
    """The number of tasks at a time that was set last; 0: any, None: none was set."""
    try:
        return int((run.slurm / THROTTLE).read_text())
    except (OSError, ValueError):
        return None


def throttle_by(run: RunDir, factor: float) -> int:
    """Let so many times the tasks of each stage run at the same time that may now, or do; how many these are."""
    tasks = Tasks.read(run)
    now = throttled(run)
    if now is None:
        now = tasks.asked.parallel or 0 if tasks else 0
    rows = queue.look().of(run.jobs(), str(run.path))
    wanted = max(1, round(factor * (now or queue.standing(rows).running or 1)))
    throttle(run, wanted)
    return wanted


def _each(run: RunDir, do: Callable[[str], None]) -> None:
    """For every job of the study that is still there; the next look at the queue sees what came of it.

    Raises UsageError for a study of another user or one that has ended, SecateurError if it worked for none.
    """
    if not owners.ours(run.status):
        raise UsageError(f"Study {run.name} is not yours", f"{run.status}: {owners.whose(run.status)}.")
    status = run.read_status()
    if status.state not in OPEN:
        raise UsageError(f"Study {run.name} is {status.state}", "None of its tasks waits or runs any more.")
    jobs, refused = open_jobs(run), []
    for job in jobs:
        try:
            do(job)
        except SecateurError as error:
            refused.append(error)
    queue.forget()
    if len(refused) == len(jobs):
        raise refused[-1] if refused else UsageError(f"Study {run.name} has no jobs in the queue")
