"""Start a study's engine so that it outlives the terminal."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from engine.errors import SecateurError, UsageError
from engine.machine import gpus, limits, private, signals
from engine.machine.environment import process_variables
from engine.machine.package import importable
from engine.machine.process import Process, process_identity
from engine.machine.value import Machine
from engine.measures.latency import disturbed
from engine.presets.spec import Spec, parse, to_yaml
from engine.results.failures import moment
from engine.runner import pinned
from engine.runner.executors import choose, site, slurm
from engine.runner.executors.base import Carrier
from engine.runner.status import of_preset
from engine.sources import Sources
from engine.store.files import as_they_are, explained, last_said, write_atomic
from engine.store.paths import here
from engine.studies import lease, lives, rundir, turns
from engine.studies.named_files import check_files
from engine.studies.plan import sources_of
from engine.studies.rundir import RunDir
from engine.studies.settings import to_json
from engine.studies.state import Reader, StudyState, load

ENGINE = "import sys; from engine.runner.supervisor import main; sys.exit(main())"
"""Not ``-m``: multiprocessing would import the main module anew in every worker."""
OTHERWISE = ("executor.", "search.budget.")
"""What a study that exists may be asked for otherwise: a search's rounds are the same, up to where its budget ends."""
NOTHING_WRITTEN = """\
# What Slurm would be given. Nothing of it is written yet, and without the study's folder these scripts can't run:
# `secateur run … --prepare` writes all of it and sends nothing, so that you can look, change and submit by hand.
"""
LOOK_EVERY_S = 0.1
"""Seconds between two looks at how the check-up goes."""
APPEARS_WITHIN_S = 60.0
"""How long the engine may take to write its first status (a cold shared file system)."""


def create(
    spec: Spec,
    workspace: Path,
    *,
    replay_of: str | None = None,
    code: Sources | None = None,
    name: str | None = None,
    expected: float = 0.0,
) -> RunDir:
    """A new study folder for `spec`; data set and users' code are looked for first: nothing is written without them.

    `code` is what a replay runs again; relative paths in new code start from the current folder. The study is called
    `name` where one is given; raises FileExistsError if that is taken. It is `expected` to take so many seconds.
    """
    private.folder()
    code = code or sources_of(spec, here())
    check_files(spec, workspace)
    on = choose.known_machine(spec.settings, workspace)
    if spec.settings.executor.slurm is None:
        gpus.check(spec.settings.device, spec.settings.distributed.processes)
    if on is not None:
        check_machine(spec, on, decided=replay_of is not None)
    request = {"name": spec.name, "replay_of": replay_of, "private_store": replay_of is not None}
    preset = to_yaml(spec.document)
    kept = code.to_json() if code.programs else None
    stem = name or (f"{replay_of}-replay" if replay_of else spec.name)
    settings, exact = to_json(spec, preset), name is not None
    return rundir.create(
        workspace,
        stem,
        preset,
        request,
        settings,
        kept,
        status=of_preset("queued", spec, replay_of, expected),
        exact=exact,
    )


def check_machine(spec: Spec, on: Machine, *, decided: bool) -> None:
    """Raises SecateurError where `on` can measure no latency that some trial asks for, not train as a step asks to, or
    has fewer processors than a trial has threads.

    `decided`: what steps decide by measured times is known already, and so are the threads that its bits come from.
    """
    if not decided:
        given = [trial.settings.threads for trial in spec.trials]
        on.check_threads(max((threads for threads in given if isinstance(threads, int)), default=1))
    wanted = [trial.settings.measure.latency for trial in spec.trials]
    every = [step for trial in spec.trials for step in trial.all_steps]
    targets = dict.fromkeys(step.timed_in for step in every if step.timed_in and not decided)
    on.check(dict.fromkeys(one for one in wanted if one), targets)
    for step in every:
        on.check_training(step, spec.settings.distributed.processes)


def start(
    run: RunDir,
    *,
    here: bool = False,
    after: bool = False,
    remeasure: bool = False,
    overrides: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Have the study carried out by the executor that its preset names, from where it is.

    `after`: it waits for its turn after the studies that run or wait on this machine; a cluster has a queue of its own.
    `remeasure`: its latencies that others disturbed are measured again. `overrides` change what the study asks its
    executor for from now on, or where its search ends, which changes no result; UsageError for anything else. Other
    arguments and errors are as in `Carrier.start`.
    """
    asked = _asked_otherwise(run, overrides) if overrides else None
    put_back = as_they_are(*([run.preset, run.kept_settings] if asked is not None else []))

    def first() -> None:
        run.make_latest()
        (turns.wait if after else turns.forget)(run)
        if asked is not None:
            preset = to_yaml(asked.document)
            write_atomic(run.preset, preset)
            write_atomic(run.kept_settings, to_json(asked, preset))
        if not remeasure:
            return
        noisy, store = noisy_latency(run), run.store()
        for latency in noisy:
            store.remove(latency)
        if not noisy:
            tell(f"every latency of {run.name} was measured undisturbed")

    now = choose.on_cluster(run)
    then = now if asked is None else asked.settings.executor.slurm is not None
    if then != now and (status := run.read_status()).state in ("queued", "running"):
        raise UsageError(
            f"Study {run.name} is {status.state} already, by {'Slurm' if now else 'an engine'}",
            "It can't go on elsewhere at the same time.",
            f"`secateur cancel {run.name}` first.",
        )
    try:
        _carrier(then).start(run, here=here, tell=tell, first=first)
    except UsageError:  # nothing of it was begun
        if run.path.is_dir():
            put_back()
        raise


def _asked_otherwise(run: RunDir, overrides: Sequence[str]) -> Spec:
    """The study's preset with another request to its executor, or a larger budget for its search.

    Raises UsageError for overrides of anything else.
    """
    for override in overrides:
        if not override.startswith(OTHERWISE):
            raise UsageError(
                f"A study keeps its preset: {override} can't be set",
                "Only what begins with `executor.` or `search.budget.` can, which changes no result that there is.",
                "Run the changed preset as a new study: what is stored is not computed again.",
            )
    return parse(run.preset.read_text(encoding="utf-8"), run.name, overrides, stored=True)


def prepare(run: RunDir) -> None:
    """Write what would be submitted of a study that runs by Slurm, so that somebody can submit it by hand.

    Raises UsageError where that can't be: a new study is removed.
    """
    with slurm.unless_refused(run):
        slurm.write(run, slurm.prepare(run, run.spec()))


def with_default_executor(spec: Spec) -> Spec:
    """The preset as it is run here, and its quick version: by Slurm where it does not say where, and the site or the
    user has settled that. Raises UsageError where what they have settled can't be read."""
    quick = with_default_executor(spec.quick) if spec.quick is not None else None
    if spec.says_where or site.by_default() is None:
        return replace(spec, quick=quick)
    document = {**spec.document, "executor": {"slurm": {}}}
    return replace(parse(to_yaml(document), spec.name, stored=True), quick=quick)


def batch_scripts(spec: Spec, workspace: Path) -> str:
    """The batch scripts of a study that is not created, as it would be. Raises UsageError without Slurm.

    They begin with what is missing: their tasks read the study's folder, and print into it.
    """
    check_on_cluster(spec)
    run = RunDir.of(workspace, rundir.next_name(workspace, spec.name))
    submission = slurm.prepare(run, spec)
    texts = [
        (f"{stage.name}.sh", text)
        for stage, text in zip(submission.tasks.stages, submission.scripts, strict=True)
    ]
    texts.append(("submit.sh", slurm.by_hand(run, submission.tasks)))
    return "\n".join([NOTHING_WRITTEN, *(f"# {run.slurm / name}\n{text}" for name, text in texts)])


def check_on_cluster(spec: Spec) -> None:
    """Raises UsageError for a preset that does not run by Slurm."""
    if spec.settings.executor.slurm is None:
        raise UsageError(
            "The preset does not run by Slurm", "It has no executor.slurm.", "Add `--set executor.slurm={}`."
        )


def begin_now(run: RunDir) -> None:
    """Let a study begin that waits for its turn, beside those before it. Raises UsageError where it does not wait."""
    if run.read_status().state != "queued" or not turns.waits(run):
        raise UsageError(
            f"Study {run.name} does not wait for its turn",
            "",
            f"`secateur resume {run.name}` starts one that does not run.",
        )
    run.make_latest()
    turns.begin(run)


def cancel(run: RunDir) -> None:
    """Ask for the end of a study; what it has finished stays stored."""
    _carrier(choose.on_cluster(run)).cancel(run)


class _Engine:
    """Carries a study by a process of ours on this machine."""

    def start(
        self, run: RunDir, *, here: bool, tell: Callable[[str], None], first: Callable[[], None]
    ) -> None:
        _start_engine(run, here=here, tell=tell, first=first)

    def cancel(self, run: RunDir) -> None:
        with explained(run.stop):
            run.stop.touch()


def _carrier(on_cluster: bool) -> Carrier:
    return slurm if on_cluster else _Engine()


def _start_engine(run: RunDir, *, here: bool, tell: Callable[[str], None], first: Callable[[], None]) -> None:
    """Start the engine of `run` in a session of its own and wait until it has said that it runs.

    One on another node that may still run is watched until it is known whether it does; `tell` hears of that. `here`
    and `first` are as in `Carrier.start`. Raises Held if it runs already, OtherMachine if it would have
    other bits and `here` is not set, SecateurError if it does not come up.
    """
    silent = _silent(run, tell)
    if not here:
        pinned.check(run, run.spec(), pinned.read(run))
    environment = process_environment()  # refused before anything is written
    first()
    with explained(run.stop):
        run.stop.unlink(missing_ok=True)
    asked = json.dumps({"every": lives.beat_s(), "silent": silent, "here": here})
    with explained(run.log), run.log.open("ab") as log:
        try:
            with signals.blocked():
                process = _engine(run, asked, log, environment)
        except (BlockingIOError, MemoryError) as error:
            raise SecateurError(
                "No process can be started for the engine",
                limits.sentence("processes", "memory", "address space") or str(error),
                f"End other programs, or raise the limit; then `secateur resume {run.name}`.",
            ) from error
    _wait_for(run, process)


def _engine(run: RunDir, asked: str, log: BinaryIO, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-c", ENGINE, str(run.path), asked],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd=run.path,
        env=environment,
    )


def _silent(run: RunDir, tell: Callable[[str], None]) -> str:
    """The counter of an engine on another node that has been watched and stood still; empty if there is none."""
    announced = False
    while (by := lease.holder(run.path)) is not None and not by.gone():
        status = run.read_status()
        if by.process.fate() == "alive" or status.state not in ("running", "queued", "lost"):
            raise _running(run, by)
        if status.state == "lost":
            return by.counter
        if not announced:
            announced = True
            tell(
                f"{run.name} has an engine on {by.process.host}, last heard of {moment(status.updated)}: watching for "
                f"up to {lives.lost_after_s(by.every):.0f} s whether it still runs"
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


def accepted(run: RunDir, look: Callable[[StudyState], None] = lambda _: None) -> None:
    """Wait until the check-up of a new study that was just started here has passed, or its engine has ended otherwise.

    `look` is called again and again meanwhile, with what is known of the study; what it raises ends the wait.
    Raises UsageError with the reason if the preset asks for what can't be; the study's folder is gone then.
    """
    if choose.on_cluster(run):  # its first task does it, whenever that begins
        return
    reader = Reader(run)
    while True:
        look(reader.state)
        ended = run.read_status().state not in ("queued", "running")
        if reader.catch_up().checked is not None:
            return
        if ended:
            break
        time.sleep(LOOK_EVERY_S)
    if reader.state.refused:
        error = reader.state.error or {}
        shutil.rmtree(run.path, ignore_errors=True)
        raise UsageError(**error)


def noisy_latency(run: RunDir) -> list[str]:
    """The keys of the study's latencies that others disturbed."""
    state = load(run.path)
    return [
        trial.latency.key
        for trial in state.trials
        if trial.latency and any(map(disturbed, trial.results.get("latency") or []))
    ]


def process_environment() -> dict[str, str]:
    """For a process of ours: it finds our package from anywhere, and MKL's and CUDA's results are repeatable."""
    return {
        **process_variables(),
        **private.variables(),
        **importable(),
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for(run: RunDir, process: "subprocess.Popen[bytes]") -> None:
    """Until the engine has written its first status. Raises Held where another one was faster."""
    # Its number alone may be an earlier process's, or one of another node.
    ours = Process(socket.gethostname(), process.pid, *process_identity(process.pid))
    deadline = time.monotonic() + APPEARS_WITHIN_S
    while time.monotonic() < deadline:
        if run.stored_status().process == ours:
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    by = lease.holder(run.path)
    if process.returncode == lease.Held.exit_code and by is not None:
        raise _running(run, by)
    if process.returncode is None:
        raise SecateurError(
            f"The engine of {run.name} is still starting",
            f"Process {process.pid} has not said anything for {APPEARS_WITHIN_S:.0f} s; it goes on.",
            f"`secateur watch {run.name}` follows it; {run.log} has what it prints.",
        )
    raise SecateurError(
        f"The engine of {run.name} did not start",
        last_said(run.log) or f"Its exit code was {process.returncode}.",
        f"Look into {run.log}.",
    )
