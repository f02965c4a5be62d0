"""Start a study's engine so that it outlives the terminal."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.machine import limits, private, signals
from engine.machine.allocation import Allocation
from engine.machine.environment import importable, process_variables
from engine.machine.process import Process
from engine.measures.latency import NOISY_LOAD
from engine.presets.spec import Spec, read_stored, to_yaml
from engine.results.failures import moment
from engine.runner import pinned
from engine.runner.executors import choose
from engine.store.files import explained, read_json
from engine.store.keys import key
from engine.studies import lease, lives, rundir
from engine.studies.rundir import RunDir, Status
from engine.studies.settings import to_json
from engine.studies.state import load

ENGINE = "import sys; from engine.runner.supervisor import main; sys.exit(main())"
"""Not ``-m``: multiprocessing would import the main module anew in every worker."""
APPEARS_WITHIN_S = 60.0
"""How long the engine may take to write its first status (a cold shared file system)."""


def create(spec: Spec, workspace: Path, *, replay_of: str | None = None, name: str | None = None) -> RunDir:
    """A new study folder for `spec`; the data set is looked for first, so that nothing is written without it.

    It is called `name` where one is given; raises FileExistsError if that is taken.
    """
    from engine import datasets

    private.folder()
    for data in {trial.settings.data for trial in spec.trials}:
        datasets.locate(data, workspace)
    _check_runtimes(spec, decided=replay_of is not None)
    stem = name or (f"{replay_of}-replay" if replay_of else spec.name)
    request = {"name": spec.name, "replay_of": replay_of, "private_store": replay_of is not None}
    preset = to_yaml(spec.document)
    ours = Process.this()
    first = Status(
        "queued",
        preset=spec.name,
        about=spec.settings.about,
        model=spec.settings.model.title,
        data=spec.settings.data.name,
        host=ours.host,
        pid=ours.pid,
        start_ticks=ours.start_ticks,
        boot_id=ours.boot_id,
        created=time.time(),
        updated=time.time(),
        trials=len(spec.trials),
        replay_of=replay_of,
    )
    return rundir.create(
        workspace, stem, preset, request, to_json(spec, preset), status=first, exact=name is not None
    )


def shared_name(spec: Spec, given: str | None) -> str | None:
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


def create_or_find(spec: Spec, workspace: Path, name: str) -> RunDir:
    """The study called `name`: a new one, or the one that there is. Raises UsageError if that has another preset."""
    run = RunDir.of(workspace, name)
    if not run.path.exists():
        with contextlib.suppress(FileExistsError):  # somebody made it meanwhile
            return create(spec, workspace, name=name)
    began = run.preset.read_text("utf-8") if run.preset.is_file() else ""
    if began != to_yaml(spec.document):
        raise UsageError(
            f"Study {name} was begun with another preset",
            _first_difference(began, to_yaml(spec.document)),
            f"`secateur resume {name}` goes on with what it was begun with; another --name begins a new study.",
        )
    return run


def _first_difference(began: str, now: str) -> str:
    lines = zip_longest(began.splitlines(), now.splitlines(), fillvalue="nothing")
    before, after = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
    return f"There it says: {before.strip()}; now: {after.strip()}"


def start_or_join(run: RunDir, tell: Callable[[str], None]) -> None:
    """Start the study's engine unless it is done or has one; `tell` hears what it does. As `start` otherwise."""
    state = run.read_status().state
    if state == "done":
        tell(f"{run.name} is done already")
        return
    if state != "queued":
        tell(
            f"{run.name} goes on where it was ({state})"
            if state != "running"
            else f"{run.name} is there already"
        )
    try:
        start(run, tell=tell)
    except lease.Held:
        tell(f"{run.name} has an engine already: following it")


def _check_runtimes(spec: Spec, *, decided: bool) -> None:
    """Raises SecateurError where this machine can measure no latency that some trial asks for.

    `decided`: what steps decide by measured times is known already.
    """
    wanted = [trial.settings.measure.latency for trial in spec.trials]
    steps = [] if decided else [step for trial in spec.trials for step in trial.steps]
    targets = dict.fromkeys(step.timed_in for step in steps if step.timed_in)
    choose.machine(spec.settings).check(dict.fromkeys(one for one in wanted if one), targets)


def start(run: RunDir, *, here: bool = False, tell: Callable[[str], None] = lambda _: None) -> None:
    """Start the engine of `run` in a session of its own and wait until it has said that it runs.

    One on another node that may still run is watched until it is known whether it does; `tell` hears of that. `here`:
    go on on this machine though the bits will be others. Raises Held if it runs already, OtherMachine if it would have
    other bits and `here` is not set, SecateurError if it does not come up.
    """
    silent = _silent(run, tell)
    if not here:
        name = (read_json(run.request) or {}).get("name", run.name)
        pinned.check(run, read_stored(run.preset, name), pinned.read(run))
    environment = process_environment()  # refused before anything is written
    with explained(run.stop):
        run.stop.unlink(missing_ok=True)
    asked = json.dumps({"every": lives.beat_s(), "silent": silent, "here": here})
    with explained(run.log), run.log.open("ab") as log:
        try:
            with signals.blocked():
                process = subprocess.Popen(
                    [sys.executable, "-P", "-c", ENGINE, str(run.path), asked],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    cwd=run.path,
                    env=environment,
                )
        except (BlockingIOError, MemoryError) as error:
            raise SecateurError(
                "No process can be started for the engine",
                limits.told("processes", "memory", "address space") or str(error),
                f"End other programs, or raise the limit; then `secateur resume {run.name}`.",
            ) from error
    _wait_for(run, process)


def _silent(run: RunDir, tell: Callable[[str], None]) -> str:
    """The counter of an engine on another node that has been watched and stood still; empty if there is none."""
    told = False
    while (by := lease.holder(run.path)) is not None and not by.gone():
        status = run.read_status()
        if by.process.fate() == "alive" or status.state not in ("running", "queued", "lost"):
            raise _running(run, by)
        if status.state == "lost":
            return by.counter
        if not told:
            told = True
            tell(
                f"{run.name} has an engine on {by.process.host}, last heard of {moment(status.updated)}: watching for "
                f"up to {lives.lost_after_s():.0f} s whether it still runs"
            )
            first = by.counter
        if by.counter != first:
            raise _running(run, by)
        signals.check()
        time.sleep(min(lives.beat_s(), 1.0))
    return ""


def _running(run: RunDir, by: lease.Holder) -> lease.Held:
    suspended = by.process.fate() == "alive" and by.process.suspended
    return lease.Held(
        f"Study {run.name} is running already",
        f"On {by.process.host}, process {by.process.pid}" + (", which is suspended." if suspended else "."),
        f"`kill -CONT {by.process.pid}` lets it go on."
        if suspended
        else f"`secateur watch {run.name}` follows it.",
    )


def forget_noisy_latency(run: RunDir) -> int:
    """Remove the study's latencies that others disturbed from the store; how many there were."""
    state, store = load(run.path), run.store()
    noisy = [
        trial.latency.key
        for trial in state.trials
        if trial.latency
        and any(row.get("foreign_load", 0.0) > NOISY_LOAD for row in trial.results.get("latency", []))
    ]
    for latency in noisy:
        store.remove(latency)
    return len(noisy)


def process_environment() -> dict[str, str]:
    """For a process of ours: it finds our package from anywhere, and MKL's and CUDA's results are repeatable."""
    return {
        **process_variables(),
        **private.variables(),
        **importable(),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for(run: RunDir, process: "subprocess.Popen[bytes]") -> None:
    """Until the engine has written its first status. Raises Held where another one was faster."""
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        if run.read_status().pid == process.pid:
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    by = lease.holder(run.path)
    if process.returncode == lease.Held.exit_code and by is not None:
        raise _running(run, by)
    raise SecateurError(
        f"The engine of {run.name} did not start",
        rundir.last_said(run) or f"Its exit code was {process.poll()}.",
        f"Look into {run.log}.",
    )
