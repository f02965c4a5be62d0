"""Start a study's engine so that it outlives the terminal."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.machine import limits, private
from engine.machine.environment import importable, process_variables
from engine.machine.value import Machine
from engine.measures.latency import NOISY_LOAD
from engine.params.preset import Settings
from engine.presets.spec import Spec, read_stored, to_yaml
from engine.runner.executors import choose, slurm
from engine.sources import Sources
from engine.store.files import explained
from engine.studies import rundir
from engine.studies.named_files import check_files
from engine.studies.plan import sources_of
from engine.studies.rundir import RunDir, Status
from engine.studies.settings import to_json
from engine.studies.state import Reader, load

ENGINE = "import sys; from engine.runner.supervisor import main; sys.exit(main())"
"""Not ``-m``: multiprocessing would import the main module anew in every worker."""
LOOK_EVERY_S = 0.1
"""Seconds between two looks at how the check-up goes."""
APPEARS_WITHIN_S = 60.0
"""How long the engine may take to write its first status (a cold shared file system)."""


def create(
    spec: Spec, workspace: Path, *, replay_of: str | None = None, code: Sources | None = None
) -> RunDir:
    """A new study folder for `spec`; data set and users' code are looked for first: nothing is written without them.

    `code` is what a replay runs again; relative paths in new code start from the current folder.
    """
    private.folder()
    code = code or sources_of(spec, _here())
    check_files(spec, workspace)
    on = choose.known_machine(spec.settings, workspace)
    if on is not None:
        check_runtimes(spec, on, decided=replay_of is not None)
    name = f"{replay_of}-replay" if replay_of else spec.name
    request = {"name": spec.name, "replay_of": replay_of, "private_store": replay_of is not None}
    preset = to_yaml(spec.document)
    run = rundir.create(
        workspace, name, preset, request, to_json(spec, preset), code.to_json() if code.programs else None
    )
    run.write_status(
        Status(
            "queued",
            preset=spec.name,
            about=spec.settings.about,
            model=spec.settings.model.title,
            data=spec.settings.data.name,
            created=time.time(),
            trials=len(spec.trials),
            replay_of=replay_of,
            executor="local" if spec.settings.executor.slurm is None else "slurm",
        )
    )
    return run


def _here() -> Path:
    """The current folder. Raises UsageError where it was removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            "The current folder is not there any more", f"{error.strerror}.", "Change to another."
        ) from error


def check_runtimes(spec: Spec, on: Machine, *, decided: bool) -> None:
    """Raises SecateurError where `on` can measure no latency that some trial asks for.

    `decided`: what steps decide by measured times is known already.
    """
    wanted = [trial.settings.measure.latency for trial in spec.trials]
    steps = [] if decided else [step for trial in spec.trials for step in trial.steps]
    targets = dict.fromkeys(step.timed_in for step in steps if step.timed_in)
    on.check(dict.fromkeys(one for one in wanted if one), targets)


def start(run: RunDir) -> None:
    """Have the study carried out by the executor that its preset names, from where it is.

    Raises UsageError if it runs already or the executor refuses it, SecateurError if it does not start.
    """
    if choose.on_cluster(run):
        slurm.submit(run)
    else:
        _start_engine(run)


def prepare(run: RunDir) -> None:
    """Write what would be submitted, so that somebody can submit it by hand. Raises UsageError without Slurm."""
    _only_on_cluster(run.settings().of_trial(0))
    slurm.write(run, slurm.prepare(run, read_stored(run.preset, run.name)))


def batch_scripts(spec: Spec, workspace: Path) -> str:
    """The batch scripts of a study that is not created, as it would be. Raises UsageError without Slurm."""
    _only_on_cluster(spec.settings)
    run = RunDir.of(workspace, rundir.next_name(workspace, spec.name))
    found = slurm.prepare(run, spec)
    texts = [
        (f"{stage.name}.sh", text) for stage, text in zip(found.tasks.stages, found.scripts, strict=True)
    ]
    texts.append(("submit.sh", slurm.by_hand(run, found.tasks)))
    return "\n".join(f"# {run.slurm / name}\n{text}" for name, text in texts)


def _only_on_cluster(settings: Settings) -> None:
    if settings.executor.slurm is None:
        raise UsageError(
            "The preset does not run by Slurm", "It has no executor.slurm.", "Add `--set executor.slurm={}`."
        )


def cancel(run: RunDir) -> None:
    """Ask for the end of a study; what it has finished stays stored."""
    if choose.on_cluster(run):
        slurm.cancel(run)
    else:
        with explained(run.stop):
            run.stop.touch()


def _start_engine(run: RunDir) -> None:
    """Start the engine of `run` in a session of its own and wait until it has said that it runs.

    Raises UsageError if it runs already, SecateurError if it does not come up.
    """
    status = run.read_status()
    if status.state == "running":
        raise UsageError(
            f"Study {run.name} is running already",
            f"On {status.host}, process {status.pid}.",
            f"`secateur watch {run.name}` follows it.",
        )
    environment = process_environment()  # refused before anything is written
    ticks, boot_id = rundir.process_identity(os.getpid())
    ours = {"host": socket.gethostname(), "pid": os.getpid(), "start_ticks": ticks, "boot_id": boot_id}
    with explained(run.stop):
        run.stop.unlink(missing_ok=True)
    run.write_status(replace(status, state="queued", updated=time.time(), error=None, why="", **ours))  # type: ignore[arg-type]
    with explained(run.log), run.log.open("ab") as log:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", ENGINE, str(run.path)],
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


def accepted(run: RunDir) -> None:
    """Wait until the check-up of a study that was just started here has passed, or its engine has ended otherwise.

    Raises UsageError with the reason if the preset asks for what can't be; the study's folder is gone then.
    """
    if choose.on_cluster(run):  # its first task does it, whenever that begins
        return
    reader = Reader(run)
    while True:
        ended = run.read_status().state not in ("queued", "running")
        while reader.poll():
            pass
        if reader.state.checked is not None:
            return
        if ended:
            break
        time.sleep(LOOK_EVERY_S)
    if reader.state.refused:
        error = reader.state.error or {}
        shutil.rmtree(run.path, ignore_errors=True)
        raise UsageError(**error)


def forget_noisy_latency(run: RunDir) -> int:
    """Remove the study's latencies that others disturbed from the store; how many there were."""
    state, store = load(run.path), run.store()
    noisy = [
        trial.latency.key
        for trial in state.trials
        if trial.latency
        and any(row.get("foreign_load", 0.0) > NOISY_LOAD for row in trial.results.get("latency", []))
    ]
    for key in noisy:
        store.remove(key)
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
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        status = run.read_status()
        if status.pid == process.pid or status.state in ("done", "failed", "cancelled"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise SecateurError(
        f"The engine of {run.name} did not start",
        rundir.last_said(run) or f"Its exit code was {process.poll()}.",
        f"Look into {run.log}.",
    )
