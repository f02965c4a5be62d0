"""Studies that are found by their name: started again, by a requeued batch script or by a step's other task, a preset
goes on with its own study."""

import contextlib
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from engine.errors import UsageError
from engine.machine.allocation import Allocation
from engine.presets.spec import Spec, to_yaml
from engine.runner import launch
from engine.runner.executors import choose
from engine.store.keys import key
from engine.studies import lease, rundir
from engine.studies.rundir import RunDir


def shared(spec: Spec, given: str | None) -> str | None:
    """The name by which several starts of one preset find one study: the `given` one, or that of a job's step.

    The tasks of a step (`srun -n2`) that start the same preset mean the same study. Raises UsageError for a name that
    can't be a folder's.
    """
    if given is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", given):
            raise UsageError(
                f"A study can't be called {given!r}",
                "Allowed are up to 100 letters, digits, dots, hyphens and _.",
            )
        return given
    job = Allocation.here()
    if job is None or job.tasks <= 1:
        return None
    return f"{rundir.stem(spec.name)}-{job.job}.{job.step}-{key(to_yaml(spec.document))[:6]}"


def create_or_find(spec: Spec, workspace: Path, name: str) -> tuple[RunDir, bool]:
    """The study called `name`, and whether it is a new one. Raises UsageError if there is one of another preset."""
    run = RunDir.of(workspace, name)
    if not run.path.exists():
        with contextlib.suppress(FileExistsError):  # somebody made it meanwhile
            return launch.create(spec, workspace, name=name), True
    began = run.preset.read_text("utf-8") if run.preset.is_file() else ""
    if began != to_yaml(spec.document):
        raise UsageError(
            f"Study {name} was begun with another preset",
            _first_difference(began, to_yaml(spec.document)),
            f"`secateur resume {name}` goes on with what it was begun with; another --name begins a new study.",
        )
    return run, False


def _first_difference(began: str, now: str) -> str:
    lines = zip_longest(began.splitlines(), now.splitlines(), fillvalue="nothing")
    before, after = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
    return f"There it says: {before.strip()}; now: {after.strip()}"


def go_on(run: RunDir, tell: Callable[[str], None], *, after: bool = False) -> None:
    """Start a study that was there already, unless it is done or has an engine; `tell` hears which.

    `after` is as in `launch.start`.
    """
    status = run.read_status()
    if status.state == "done":
        tell(f"{run.name} is done already")
        return
    if choose.on_cluster(run) and status.submitted and status.state in ("queued", "running"):
        tell(f"{run.name} is with Slurm already: following it")
        return
    try:
        launch.start(run, tell=tell, after=after)
        tell(f"{run.name} goes on where it was")
    except lease.Held:
        tell(f"{run.name} has an engine already: following it")
