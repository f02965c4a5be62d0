"""Carries a study out on a cluster: what a submission writes and sends, and nothing that has to stay.

`tasks.json` and the scripts are written first, then each stage is sent as one array that waits for those before it.
"""

import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from engine import sources
from engine.errors import SecateurError, UsageError
from engine.machine import environment, package
from engine.presets.spec import Spec
from engine.runner.executors import choose, nodes, request, site, steering
from engine.runner.progress import Progress
from engine.runner.rounds import Rounds, Written
from engine.slurm import commands, queue, script
from engine.store import claims
from engine.store.files import as_they_are, check_room, explained, write_atomic
from engine.store.objects import Store
from engine.store.paths import here
from engine.studies import basis
from engine.studies import events as ev
from engine.studies.log import EventLog
from engine.studies.plan import Plan, data_id, make, sources_of
from engine.studies.rundir import RunDir
from engine.studies.state import Reader, load
from engine.studies.status import Status
from engine.studies.tasks import Stage, Tasks, deal, deal_round

TASK = "from engine.runner.task import main; main()"
"""Not ``-m``: multiprocessing would import the main module anew in every worker."""
ROOM_BYTES = 64 << 20
"""What has to be free in the workspace: a small study takes about so much."""
FEWER = ("MaxSubmit", "MaxArraySize", "Invalid job array", "QOSMaxSubmitJob", "AssocMaxSubmitJob", "JobSize")
"""What Slurm says of an array with more tasks than it takes."""


@dataclass(frozen=True)
class Submission:
    """What is about to be sent: the deal, and each stage's script."""

    tasks: Tasks
    scripts: tuple[str, ...]


def prepare(run: RunDir, spec: Spec, store: Store | None = None) -> Submission:
    """The stages of what is still to be done, and their scripts; nothing is written or sent."""
    before = Tasks.read(run)
    asked = request.checked(spec.settings)
    number = before.submission + 1 if before else 1
    agreed = basis.latest(run, number)
    plan, written = _plan_so_far(run, spec, agreed)
    skip = settled(plan, store) if store is not None and agreed is not None else set()
    if spec.space is not None:
        stages = deal_round(plan, asked, skip, site.largest_array(), len(written))
    else:
        # Where all is stored, one task tells it: whoever computed it may have been killed before it could.
        stages = deal(plan, asked, skip, site.largest_array()) or deal(plan, asked, (), 1)[-1:]
    return _submission(run, Tasks(asked, stages, number, _failed_nodes(run, before)))


def _submission(run: RunDir, tasks: Tasks) -> Submission:
    return Submission(tasks, tuple(_script(run, tasks, stage) for stage in tasks.stages))


def send_round(run: RunDir, plan: Plan, number: int, store: Store, sender: Stage) -> None:
    """From within a task of the stage `sender`: deal and send what is missing of the rounds of a search before this
    `number`, and the task that plans that one.

    Raises SecateurError where Slurm takes none.
    """
    before = Tasks.read(run)
    assert before is not None
    asked = before.asked
    if (now := steering.throttled(run)) is not None:
        asked = asked.model_copy(update={"parallel": now or None})
    skip = settled(plan, store, lambda key: run.failure(key).exists())
    stages = deal_round(plan, asked, skip, site.largest_array(), number)
    tasks = replace(before, asked=asked, stages=stages, sender=sender)
    write(run, _submission(run, tasks))
    _send(run, tasks)


def send_rest(run: RunDir, sender: Stage) -> None:
    """From within a task of the stage `sender`, started again after it has dealt a round: send what is missing of it.

    That is nothing where the task that it ends with is known to Slurm, or has dealt in its turn. Raises SecateurError
    where Slurm does not answer, or takes none.
    """
    dealt = Tasks.read(run)
    if dealt is None or dealt.sender is None or dealt.sender.name != sender.name:
        return
    names = {f"{run.name}.{stage.name}": stage.name for stage in dealt.stages}
    known = {names[name]: job for name, job in queue.sent(list(names), str(run.path)).items()}
    if dealt.stages[-1].name in known:
        return
    write(run, _submission(run, dealt))
    _send(run, dealt, known)


def _plan_so_far(run: RunDir, spec: Spec, agreed: basis.Basis | None) -> tuple[Plan, Written]:
    """The plan, of a search with its rounds so far, and these."""
    plan = _plan(run, spec, agreed)
    if spec.space is None or agreed is None:
        return plan, {}
    written = Reader(run).catch_up().proposed
    code = sources.read(run.code) or sources_of(spec, here())
    return Rounds.of(run, spec, agreed.machine, code).whole(plan, written), written


def _plan(run: RunDir, spec: Spec, agreed: basis.Basis | None) -> Plan:
    """The plan; of a study whose nodes nobody has seen yet, one of the same shape and with other keys."""
    code = sources.read(run.code)
    if agreed is not None:
        return make(spec, agreed.fingerprints, agreed.machine, code)
    placeholders = {data_id(trial): data_id(trial) for trial in spec.trials}
    return make(spec, placeholders, choose.machine(spec.settings), code)


def settled(plan: Plan, store: Store, failed: Callable[[str], bool] = lambda _: False) -> set[int]:
    """Numbers of the jobs of which there is nothing to be done: their results are all there, or some step has `failed`,
    by its key, or needs one that did."""
    found: set[int] = set()
    hopeless: set[str] = set()
    for job in plan.jobs:  # each after those that it needs
        missing = [node.key for node in job.nodes if store.get(node.key) is None]
        if not missing or job.needs & hopeless or any(map(failed, missing)):
            found.add(job.number)
            hopeless.update(missing)
    return found


def _failed_nodes(run: RunDir, before: Tasks | None) -> tuple[str, ...]:
    """Nodes that took a task with them, or had been left out, and are not well now."""
    if before is None:
        return ()
    lost = (t.host for t in load(run.path).tasks.values() if not t.outcome)
    return tuple(host for host in dict.fromkeys([*before.excluded, *lost]) if nodes.failed(host))


def _script(run: RunDir, tasks: Tasks, stage: Stage) -> str:
    python = [sys.executable] if tasks.asked.container is None else ["python3"]
    command = [*python, "-P", "-c", TASK, str(run.path), stage.name]
    about = script.Stage(run.name, run.path, stage.name, stage.tasks, stage.exclusive)
    own = package.importable() | {n: v for n in script.PORTABLE if (v := os.environ.get(n))}
    hashing = {"PYTHONHASHSEED": environment.process_variables()["PYTHONHASHSEED"]}
    variables = own | hashing | environment.chosen_selectors()
    return script.text(tasks.asked, about, command, variables, tasks.excluded)


def start(
    run: RunDir,
    *,
    here: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    first: Callable[[], None] = lambda: None,
) -> None:
    """Write the folder's part and send every stage; the study is queued then.

    `here` means nothing: a study keeps to the kind of node that it began on. One that is done and whole stays so.
    Raises UsageError where Slurm does not take it: a study that has never run is removed, another stands as before.
    """
    status = run.read_status()
    if status.state in ("running", "queued") and status.submitted:
        raise UsageError(
            f"Study {run.name} is {status.state} already",
            status.queue,
            f"`secateur watch {run.name}` follows it.",
        )
    asked_before = run.preset.read_text()
    first()
    with unless_refused(run):
        _check_room(run)
        _submit(run, status, tell, same=run.preset.read_text() == asked_before)


def _submit(run: RunDir, status: Status, tell: Callable[[str], None], *, same: bool) -> None:
    """`start` a study that stood at `status`, with the `same` preset as then or a search's larger budget."""
    spec, store = run.spec(), run.store()
    if status.state == "done" and (same or spec.space is None) and _is_whole(run, spec, store):
        tell(f"every result of {run.name} is there: nothing is sent")
        return
    submission = prepare(run, spec, store)
    notes = request.notes(submission.tasks.asked)
    put_back = as_they_are(run.status, run.tasks, run.stop)
    with explained(run.stop):
        run.stop.unlink(missing_ok=True)
        shutil.rmtree(run.path / "failures", ignore_errors=True)
    write(run, submission)
    # Before anything is sent: a task may start, and write events of its own, before sbatch has returned.
    events = _write_start(run, spec, submission.tasks, notes)
    claims.bury(run.store().claims_root, [f"{job}_" for job in run.jobs()])
    run.write_status(_queued(run, status))
    try:
        _send(run, submission.tasks)
    except SecateurError as error:
        events.unlink()
        put_back()
        raise UsageError.of(error) from error
    queue.forget()


@contextmanager
def unless_refused(run: RunDir) -> Iterator[None]:
    """Within it a study is prepared or sent: one of which nothing was before is removed where that is refused."""
    new = _is_new(run)
    try:
        yield
    except UsageError:
        if new:
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _write_start(run: RunDir, spec: Spec, tasks: Tasks, notes: Sequence[str]) -> Path:
    """Write the events that a submission begins with: its start, and the `notes` as warnings. Returns their file."""
    begun = ev.StudyStarted(
        study=run.name,
        preset=spec.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        environment={},
        resumed=tasks.submission > 1,
        replay_of=run.asked().get("replay_of"),
    )
    return emit(run, [begun, *(ev.Notice(level="warning", text=text) for text in notes)])


def _queued(run: RunDir, before: Status) -> Status:
    """The study's status while its tasks wait in the queue."""
    return replace(
        before,
        state="queued",
        executor="slurm",
        host="",
        submitted=time.time(),
        updated=time.time(),
        jobs_before=len(run.jobs()),
        at_work=0,
        error=None,
        why="",
    )


def _is_whole(run: RunDir, spec: Spec, store: Store) -> bool:
    """Whether nothing is left to compute of a study that is done, with the request that it was done with."""
    before = Tasks.read(run)
    agreed = basis.latest(run, before.submission) if before else None
    if agreed is None:
        return False
    return all(store.get(key) is not None for key in _plan_so_far(run, spec, agreed)[0].nodes)


def _is_new(run: RunDir) -> bool:
    """Whether neither tasks nor an engine have told anything of the study, and no tasks were written for it."""
    return Tasks.read(run) is None and not any(file.exists() for file in run.event_files())


def _check_room(run: RunDir) -> None:
    """Hours in a queue would otherwise end at a quota that is used up already."""
    try:
        check_room(run.path, ROOM_BYTES)
    except SecateurError as error:
        raise UsageError.of(error) from error


def write(run: RunDir, submission: Submission) -> None:
    """Put the deal and the scripts into the study's folder, and one that sends them all by hand."""
    with explained(run.unbegun):
        run.unbegun.mkdir(parents=True, exist_ok=True)
    submission.tasks.write(run)
    for stage, text in zip(submission.tasks.stages, submission.scripts, strict=True):
        write_atomic(_file(run, stage), text)
    write_atomic(run.slurm / "submit.sh", by_hand(run, submission.tasks))


def _file(run: RunDir, stage: Stage) -> Path:
    return run.slurm / f"{stage.name}.sh"


def by_hand(run: RunDir, tasks: Tasks) -> str:
    """A script that submits the stages, each after those before it."""
    lines = ["#!/bin/bash", "set -e"]
    for stage, after in _chained(tasks.stages):
        waits = f"--dependency=afterany:{':'.join(f'${one.name}' for one in after)} " if after else ""
        lines.append(f"{stage.name}=$(sbatch --parsable {waits}{shlex.quote(str(_file(run, stage)))})")
    numbers = " ".join(f"${stage.name}" for stage in tasks.stages)
    return "\n".join([*lines, f"echo {numbers} | tee -a {shlex.quote(str(run.noted_jobs))}", ""])


def _chained(stages: Sequence[Stage]) -> list[tuple[Stage, list[Stage]]]:
    """Each stage with those of the depth before it."""
    depths = sorted({stage.depth for stage in stages})
    return [
        (stage, [s for s in stages if s.depth == max((d for d in depths if d < stage.depth), default=-1)])
        for stage in stages
    ]


def _send(run: RunDir, tasks: Tasks, before: Mapping[str, str] = MappingProxyType({})) -> None:
    """Submit every stage and note the numbers of their jobs. What was sent is taken back if one is refused.

    `before` has the jobs of stages that were sent already.
    """
    sent = dict(before)
    try:
        for stage, after in _chained(tasks.stages):
            if stage.name in sent:
                continue
            waits = [f"--dependency=afterany:{':'.join(sent[one.name] for one in after)}"] if after else []
            sent[stage.name], tasks = _send_stage(run, tasks, stage, waits)
            with explained(run.noted_jobs), run.noted_jobs.open("a") as file:
                file.write(f"{sent[stage.name]}\n")
    except SecateurError:
        commands.cancel(list(sent.values()))
        raise


def _send_stage(run: RunDir, tasks: Tasks, stage: Stage, flags: list[str]) -> tuple[str, Tasks]:
    """Submit a stage; where the site takes no array as large, with fewer tasks that do more each.

    Its job's number, and the deal as it is then.
    """
    while True:
        try:
            return commands.submit(_file(run, stage), flags), tasks
        except SecateurError as error:
            if stage.tasks == 1 or not any(word in error.detail for word in FEWER):
                raise
        stage = replace(stage, tasks=(stage.tasks + 1) // 2)
        stages = tuple(stage if s.name == stage.name else s for s in tasks.stages)
        tasks = replace(tasks, stages=stages)
        tasks.write(run)
        write_atomic(_file(run, stage), _script(run, tasks, stage))


def emit(run: RunDir, events: Sequence[ev.Event]) -> Path:
    """Write events of this process, into a file of its own; which."""
    with explained(run.task_events):
        run.task_events.mkdir(exist_ok=True)
    file = run.task_events / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
    log = EventLog(file)
    for event in events:
        log.append(event)
    log.close()
    return file


def cancel(run: RunDir) -> None:
    """End the study's jobs; what runs keeps its epoch, as far as its seconds reach."""
    with explained(run.stop):
        run.stop.touch()
    # Told first: whatever Slurm says of jobs that have left it, the study is over.
    emit(run, [ev.StudyFinished(state="cancelled")])
    Progress(run).refresh(at_once=True)
    _cancelled(steering.open_jobs(run))
    queue.forget()


def _cancelled(jobs: Sequence[str]) -> None:
    """End jobs, of which Slurm may have forgotten some. Raises SecateurError where others are not ended."""
    try:
        commands.cancel(jobs)
    except SecateurError:  # a single number that it does not know is an error
        queue.forget()
        snapshot = queue.look()
        if snapshot.problem:
            raise
        left = dict.fromkeys(row.job for row in snapshot.rows if row.job in jobs and (row.waits or row.runs))
        commands.cancel(list(left))
