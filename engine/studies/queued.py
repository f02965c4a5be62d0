"""How a study on a cluster stands: by its folder and by the queue, whichever is newer; and why it was lost.

A task that never began, because the lines before it failed, leaves a mark in the folder: the batch script does that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from engine.errors import sentences
from engine.slurm import queue
from engine.store import owners
from engine.store.files import last_said, read_json, read_mapping
from engine.studies import events as ev
from engine.studies.status import OPEN, Status
from engine.text.phrases import counted

HEADER = r"\d{4}-\d\d-\d\dT\S+ \S+ job \S+"
"""The line with which a batch script begins a log."""
UNKNOWN = "submitted; Slurm is asked how it stands within a minute"


class Folder(Protocol):
    """What is needed of a study's folder, see `engine.studies.rundir`, which asks here how its study stands."""

    path: Path
    tasks: Path
    task_events: Path
    slurm: Path
    status: Path

    @property
    def unbegun(self) -> Path: ...

    @property
    def noted_jobs(self) -> Path: ...

    def jobs(self) -> tuple[str, ...]: ...

    def stored_status(self) -> Status: ...


@dataclass(frozen=True)
class Unbegun:
    """A task whose batch script ended before the task began, by its mark."""

    task: str
    code: str
    host: str

    @property
    def text(self) -> str:
        return f"{self.task} ended with exit code {self.code} on {self.host} before it began"


def in_queue(run: Folder, status: Status) -> Status:
    """The status of an open study; `lost` if its jobs have left the queue, or could not begin, before it was over."""
    if status.state not in OPEN:
        return status
    status = replace(status, submitted=max(status.submitted, _noted(run)))
    jobs = run.jobs()
    # What an earlier submission left there says nothing of this one.
    earlier, latest = jobs[: status.jobs_before], jobs[status.jobs_before :]
    unbegun = marks(run, latest)
    if unbegun and len(unbegun) >= _sent(run):
        return _lost(run, status, latest, 0.0)
    snapshot = queue.look()
    rows = [row for row in snapshot.of(latest, str(run.path)) if row.job not in earlier]
    standing = queue.standing(rows, [one.task for one in unbegun])
    told_since = status.updated > snapshot.asked and status.at_work >= 0
    if told_since:
        standing = standing.corrected(status.at_work, status.host)
    if standing.running or standing.waiting:
        failed = f"; {_never_began(unbegun)}" if unbegun else ""
        waits = f"; what runs waits {status.waits}" if standing.running and status.waits else ""
        state = "running" if standing.running else "queued"
        return replace(status, state=state, queue=f"{standing.text}{waits}{failed}")  # type: ignore[arg-type]
    if not status.submitted and not status.heartbeat:
        return replace(status, queue=f"not submitted yet: bash {run.slurm / 'submit.sh'}")
    if not owners.own(run.status):
        return replace(status, queue=f"its jobs are not yours: {owners.whose(run.status)}")
    if snapshot.asked <= max(status.submitted, status.updated):
        unknown = UNKNOWN if status.state == "queued" else ""
        return replace(status, queue=snapshot.problem or unknown)
    # The last task writes the end before it leaves the queue: what was read before may be older than that.
    again = run.stored_status()
    return again if again.state not in OPEN else _lost(run, again, latest, snapshot.asked)


def marks(run: Folder, jobs: Sequence[str]) -> list[Unbegun]:
    """The tasks of these jobs that never began."""
    try:
        files = sorted(run.unbegun.iterdir())
        found = [(file.name, file.read_text().split()) for file in files if file.name.split("_")[0] in jobs]
    except OSError:
        return []
    return [Unbegun(task, *words[:2]) for task, words in found if len(words) >= 2]


def _never_began(unbegun: Sequence[Unbegun]) -> str:
    more = f", and {counted(len(unbegun) - 1, 'other')} ended so too" if len(unbegun) > 1 else ""
    return f"task {unbegun[0].text}{more}"


def _noted(run: Folder) -> float:
    """When the number of a job was last noted, by whoever submitted it; 0 if none was."""
    try:
        return run.noted_jobs.stat().st_mtime
    except OSError:
        return 0.0


def _sent(run: Folder) -> float:
    """How many tasks the last submission has; beyond any number where that is not known."""
    content: Any = read_json(run.tasks)  # lists of studies do without what checks it
    try:
        return int(sum(stage["tasks"] for stage in content["stages"]))
    except (KeyError, TypeError):
        return float("inf")


_told: dict[Path, tuple[object, dict[str, str]]] = {}
"""Why studies were lost, and of when that is: a list that is open looks every second."""


def _lost(run: Folder, status: Status, jobs: Sequence[str], asked: float) -> Status:
    now = (jobs, status.updated, asked)
    when, why = _told.get(run.path, (None, {}))
    if when != now:
        why = _why(run, jobs)
        _told[run.path] = now, why
    return replace(status, state="lost", lost=why, queue="")


def _why(run: Folder, jobs: Sequence[str]) -> dict[str, str]:
    """Why a study was lost, as an error's title, detail and remedy."""
    unbegun = marks(run, jobs)
    ends = [(one.task, "FAILED") for one in unbegun] or [one[:2] for one in queue.ended(jobs, str(run.path))]
    first = f"T{_never_began(unbegun)[1:]}" if unbegun else queue.fates(jobs, str(run.path))
    single = [task for task, _ in ends if "[" not in task]  # not those that waited still
    detail = next(_words(run, single or jobs), "")
    failed = [task for task, state in ends if state == "FAILED"]
    began = any(any(run.task_events.glob(f"{task}.*.jsonl")) for task in failed)
    remedy = _before_it(run) if failed and not began else ""
    return {"title": first or detail, "detail": detail if first else "", "remedy": remedy}


def _before_it(run: Folder) -> str:
    """What to do about tasks that never began."""
    asked = read_mapping(run.tasks).get("asked", {})
    given = [f"executor.slurm.{name}" for name in ("setup", "container") if asked.get(name)]
    what = " or ".join(given) or "the node has to have the Python that secateur was submitted with"
    return (
        f"Mend what comes before a task first: {what}. Then `secateur resume`, with `--set executor.slurm.…` where "
        "something else is to be asked for"
    )


def _words(run: Folder, tasks: Sequence[str]) -> Iterator[str]:
    """What ended these tasks (or those of these jobs) said last: by the word of the task itself, or in its log."""
    for task in tasks:
        pattern = task if "_" in task else f"{task}_*"
        events = sorted(run.task_events.glob(f"{pattern}.*.jsonl"), reverse=True)
        told = next(filter(None, map(_gave_up, events)), "")
        logs = sorted(run.slurm.glob(f"*-{pattern}.log"), reverse=True)
        if told:
            yield sentences(told, f"Its log: {logs[0]}" if logs else "")
            continue
        for log in logs:
            said = last_said(log, f"|{HEADER}")
            yield f"The last line of {log}: {said}" if said else f"{log} says nothing"


def _gave_up(file: Path) -> str:
    """The last error that a task told of itself."""
    try:
        lines = [line for line in file.read_bytes().splitlines() if b'"error"' in line]
    except OSError:
        return ""
    told = (ev.parse_line(line) for line in reversed(lines))
    return next((one.text for one in told if isinstance(one, ev.Notice) and one.level == "error"), "")
