"""The queue, asked at most once a minute for all of a user's studies and programs; never while nobody looks.

The answer is kept in a private file that they share. A scheduler that does not answer is left alone for as long.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.errors import SecateurError
from engine.slurm import commands
from engine.slurm.reasons import words
from engine.store.files import read_json, write_json
from engine.store.paths import home
from engine.text.phrases import counted

EVERY_S = 60.0
"""Seconds between two questions."""
FORMAT = "%i|%T|%S|%M|%l|%N|%Q|%r|%k"
"""Id, state, (expected) start, time used, limit, nodes, priority; last reason and comment, which may hold anything."""
PATIENCE_S = 15.0
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUE_FED")
RUNNING = (
    "RUNNING",
    "COMPLETING",
    "CONFIGURING",
    "STAGE_OUT",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "RESIZING",
)


@dataclass(frozen=True)
class Row:
    """One job or task as Slurm sees it; a waiting array is one row, its `id` like ``17_[3-99%20]``."""

    id: str
    state: str
    start: str
    elapsed: str
    limit: str
    nodes: str
    priority: str
    reason: str
    comment: str

    @property
    def held(self) -> bool:
        """Whether it is kept from starting: the reason may be an older one."""
        return self.priority == "0"

    @property
    def job(self) -> str:
        return self.id.partition("_")[0]

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def runs(self) -> bool:
        return self.state in RUNNING

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the row stands for."""
        return tuple(f"{self.job}_{index}" for index in indices(self.id)) or (self.id,)


@dataclass(frozen=True)
class Snapshot:
    """The user's jobs as they were `asked` (seconds since 1970; 0: never), and why there is no newer answer."""

    asked: float = 0.0
    rows: tuple[Row, ...] = ()
    problem: str = ""

    def of(self, jobs: Sequence[str], comment: str) -> tuple[Row, ...]:
        """The rows of a study: by its jobs' numbers, or its folder as their comment."""
        return tuple(row for row in self.rows if row.job in jobs or row.comment == comment)


def look() -> Snapshot:
    """The queue, at most a minute old; an older one where Slurm does not answer."""
    known = Snapshot(), 0.0
    try:
        file = cache() / "queue.json"
        known = _read(file)
        if not _due(known[1]):
            return known[0]
        with (file.with_suffix(".lock")).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _read(file)  # another program may have asked while we waited
            return known[0] if not _due(known[1]) else _ask(file, known[0])
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return replace(known[0], problem=f"Slurm is not asked: its answer can't be kept ({where})")


FATES = {
    "OUT_OF_MEMORY": "ran out of memory",
    "TIMEOUT": "met its time limit",
    "NODE_FAIL": "lost its node",
    "CANCELLED": "was cancelled",
    "PREEMPTED": "was preempted",
    "FAILED": "failed",
    "BOOT_FAIL": "lost its node",
    "DEADLINE": "met its deadline",
}
"""How tasks end that have not come to their own end."""
TOLD = 3
"""Tasks whose fates are told one by one."""


def ended(jobs: Sequence[str], comment: str) -> list[tuple[str, str, str, str]]:
    """A study's tasks that have not come to their own end: task, state, node and exit code, as far as Slurm knows."""
    rows = look().of(jobs, comment)
    queued = [(row.id, row.state, row.nodes, "") for row in rows if row.state in FATES and row.job in jobs]
    return queued or [one for one in _accounted(jobs) if one[1] in FATES]


def fates(jobs: Sequence[str], comment: str) -> str:
    """What became of a study's tasks, as far as Slurm still knows: from its queue, or from its accounting."""
    sentences = [
        f"{id_} {FATES[state]}{f' with exit code {code}' if code else ''}{f' on {nodes}' if nodes else ''}"
        for id_, state, nodes, code in ended(jobs, comment)
    ]
    more = f" and {len(sentences) - TOLD} more" if len(sentences) > TOLD else ""
    return f"Task {', '.join(sentences[:TOLD])}{more}" if sentences else ""


def _accounted(jobs: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Task, state, nodes and exit code (empty for 0) by `sacct`, asked for each set of jobs until all of them have
    ended there too; nothing without accounting."""
    if not jobs:
        return []
    try:
        file = cache() / f"exits-{jobs[0]}-{jobs[-1]}.json"
        rows: Any = read_json(file)
        if not isinstance(rows, list):
            # Its own default for the start is last midnight.
            answer = commands.ask(
                "sacct",
                "-n",
                "-X",
                "-P",
                "-S",
                "now-30days",
                "-j",
                ",".join(jobs),
                "-o",
                "JobID,State,NodeList,ExitCode",
            )
            rows = [line.split("|") for line in answer.splitlines()]
            # Accounting may lag behind the queue, which these jobs have left: their ends are told later then.
            if not any(set(row) & {*WAITING, *RUNNING} for row in rows):
                write_json(file, rows, durable=False)
    except (OSError, SecateurError):
        return []
    return [
        (task, state.split()[0], nodes, "" if code.startswith("0:") else code.partition(":")[0])
        for task, state, nodes, code in (row for row in rows if len(row) == 4)
        if state.strip()
    ]


def forget() -> None:
    """Take what is known for outdated: the next look asks."""
    with contextlib.suppress(OSError):
        (cache() / "queue.json").unlink(missing_ok=True)


def _due(tried: float) -> bool:
    return not 0 <= time.time() - tried < EVERY_S


def _ask(file: Path, before: Snapshot) -> Snapshot:
    now = time.time()
    try:
        answer = commands.ask(
            "squeue", "-h", "-t", "all", "-u", str(os.getuid()), "-o", FORMAT, patience_s=PATIENCE_S
        )
        snapshot = Snapshot(now, tuple(parse(answer)))
    except SecateurError as error:
        snapshot = replace(before, problem=error.sentence)
    with contextlib.suppress(SecateurError):  # a full home: the answer is true all the same
        write_json(file, {"tried": now, **asdict(snapshot)}, durable=False)
    return snapshot


def _read(file: Path) -> tuple[Snapshot, float]:
    """The kept answer and when it was last asked for."""
    try:
        status = file.stat()
    except OSError:
        return Snapshot(), 0.0
    return _parsed(file, status.st_ino, status.st_mtime_ns)


@lru_cache(maxsize=1)
def _parsed(file: Path, _inode: int, _changed: int) -> tuple[Snapshot, float]:
    """The same, once for each answer: every study of a list looks at it. The file is replaced, never written into."""
    values: Any = read_json(file)
    try:
        rows = tuple(Row(**row) for row in values["rows"])
        return Snapshot(values["asked"], rows, values["problem"]), values["tried"]
    except (KeyError, TypeError):
        return Snapshot(), 0.0


def parse(answer: str) -> Iterator[Row]:
    """The rows of squeue's answer.

    >>> next(parse("17_[3-5%2]|PENDING|N/A|0:00|5:00||10|Resources|/a|b\\n")).comment
    '/a|b'
    """
    for line in answer.splitlines():
        parts = line.split("|", 8)
        if len(parts) == 9:
            yield Row(*(part.strip() for part in parts))


def sent(names: Sequence[str], comment: str) -> dict[str, str]:
    """Numbers of the jobs of these names with this comment that Slurm knows of, ended ones too: asked at once.

    Raises SecateurError where Slurm does not answer.
    """
    command = ("squeue", "-h", "-t", "all", "-u", str(os.getuid()), f"--name={','.join(names)}")
    answer = commands.ask(*command, "-o", "%F|%j|%k", patience_s=PATIENCE_S)
    rows = [line.strip().split("|", 2) for line in answer.splitlines()]
    return {row[1]: row[0] for row in rows if len(row) == 3 and row[2] == comment}


def indices(id_: str) -> Iterator[int]:
    """The tasks that an id stands for; none for a job without an array.

    >>> list(indices("17_[3-5,9%2]")), list(indices("17_4")), list(indices("17"))
    ([3, 4, 5, 9], [4], [])
    """
    _, _, tasks = id_.partition("_")
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", tasks.strip("[]").partition("%")[0]):
        yield from range(int(first), int(last or first) + 1)


def cache() -> Path:
    """The private folder of what a user's programs know of this cluster. Raises OSError where it can't be made."""
    own = home()
    if own is None and not os.environ.get("XDG_CACHE_HOME"):
        raise FileNotFoundError("this user has no home folder")
    base = Path(os.environ.get("XDG_CACHE_HOME") or f"{own}/.cache")
    cluster = hashlib.sha256(os.environ.get("SLURM_CONF", "").encode()).hexdigest()[:12]
    folder = base / "secateur" / f"slurm-{cluster}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Standing:
    """How a study's jobs stand: tasks that run and wait, why these wait, and when the first may start."""

    running: int = 0
    waiting: int = 0
    reason: str = ""
    start: str = ""
    nodes: tuple[str, ...] = ()
    elapsed: str = ""
    limit: str = ""

    @property
    def text(self) -> str:
        """In a line, such as ``1 task runs on n1 (2:10 of 5:00), 3 wait: others come first``."""
        where = f" on {', '.join(self.nodes[:3])}{' …' if len(self.nodes) > 3 else ''}" if self.nodes else ""
        time_ = f" ({self.elapsed} of {self.limit})" if self.elapsed and self.limit else ""
        runs = f"{counted(self.running, 'task')} run{'s' * (self.running == 1)}"
        parts = [f"{runs}{where}{time_}"] if self.running else []
        if self.waiting:
            start = f", expected to start {self.start}" if self.start else ""
            verb = f"wait{'s' * (self.waiting == 1)}"
            who = f"{self.waiting} {verb}" if parts else f"{counted(self.waiting, 'task')} {verb}"
            parts.append(f"{who}: {self.reason}{start}")
        return ", ".join(parts)

    def corrected(self, running: int, hosts: str) -> "Standing":
        """The same, where so many tasks are known to run by now, on these `hosts`: what began since waited before."""
        if running == self.running:
            return self
        waiting = max(0, self.waiting - max(0, running - self.running))
        nodes = tuple(hosts.split(", ")) if running else ()
        return replace(self, running=running, waiting=waiting, nodes=nodes, elapsed="", limit="")


def standing(rows: Sequence[Row], ended: Collection[str] = ()) -> Standing:
    """How the jobs of these rows stand, which may be older than the end of some tasks."""
    left = {row: [task for task in row.tasks if task not in ended] for row in rows}
    running = [row for row in rows if row.runs and left[row]]
    waiting = [row for row in rows if row.waits and left[row]]
    # What waits for a stage before it says nothing of the queue; what else waits does.
    first = sorted(waiting, key=lambda row: row.reason.startswith("Dependency"))[:1]
    start = next((row.start for row in first if row.start not in ("N/A", "")), "")
    longest = max(running, key=lambda row: (len(row.elapsed), row.elapsed), default=None)
    return Standing(
        len(running),
        sum(len(left[row]) for row in waiting),
        words(first[0].reason, held=first[0].held) if first else "",
        start.replace("T", " "),
        tuple(dict.fromkeys(row.nodes for row in running if row.nodes)),
        longest.elapsed if longest else "",
        longest.limit if longest else "",
    )
