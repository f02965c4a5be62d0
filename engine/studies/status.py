"""`status.json`: how a study stands, in one small file, and what a look at it can doubt."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from engine.machine.process import Process
from engine.studies import lives
from engine.text.numbers import age
from engine.text.phrases import counted

StudyStatus = Literal["queued", "running", "done", "failed", "cancelled", "lost", "unreadable"]
OPEN: tuple[StudyStatus, ...] = ("queued", "running")
"""A study that goes on, or will."""


@dataclass(frozen=True)
class Status:
    """All that a list of studies needs."""

    state: StudyStatus
    preset: str = ""
    about: str = ""
    model: str = ""
    data: str = ""
    host: str = ""
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    heartbeat: int = 0
    created: float = 0.0
    updated: float = 0.0
    trials: int = 0
    most: int = 0
    """Of a search that goes on: how many trials it can come to; -1 where that is not known. 0: there are `trials`."""
    expected: float = 0.0
    """Seconds that the whole was estimated to take when it was started; 0 where nobody did, or could."""
    done: int = 0
    """Trials whose models are trained and scored."""
    untimed: int = 0
    """Of these, those whose latency is still to be measured."""
    failed: int = 0
    pick: dict[str, Any] = field(default_factory=dict)
    """The model to take, see `engine.results.pick.as_json`."""
    qualities: list[float] = field(default_factory=list)
    """What the models of the trials that are done are judged by, in order; of many, evenly chosen ones."""
    replay_of: str | None = None
    verdict: str | None = None
    """Of a replay: `identical` or `different`."""
    error: dict[str, str] | None = None
    executor: str = "local"
    """Where its trials run; of `slurm` no process on `host` carries it."""
    submitted: float = 0.0
    """When the jobs of a study on a cluster were submitted, in seconds since 1970; 0 if by hand."""
    jobs_before: int = 0
    """How many jobs had been noted for it when it was submitted last: these are an earlier submission's."""
    at_work: int = -1
    """Of a study on a cluster: the tasks that were at work when this was written; -1 where that is not told."""
    queue: str = ""
    """How they stand in the queue, or what an engine waits for, in words; not written, but found out when an open study
    is read."""
    why: str = ""
    """What became of it where it is not well, on one line: how many trials failed, and why most of them did."""
    waits: str = ""
    """What an engine waits for: its turn, a latency measurement, what keeps it from stopping, …"""
    doubt: str = ""
    """Why the engine of a running study may be gone though that is not known yet; not written, like `queue`."""

    lost: dict[str, str] | None = None
    """Of a lost study: why, as far as its traces tell, as an error's title, detail and remedy; not written either."""

    @property
    def standing(self) -> str:
        """What is known of an open study beside its state only when it is read: its queue, or doubts in its engine."""
        return self.doubt or self.queue

    @property
    def counts(self) -> str:
        """How many trials are done, in words."""
        return counts(self.done, self.trials, self.untimed, self.most)

    @property
    def fraction(self) -> str:
        """The same in a few characters."""
        return fraction(self.done, self.trials, self.most)

    @property
    def process(self) -> Process:
        """The process that wrote it."""
        return Process(self.host, self.pid, self.start_ticks, self.boot_id)


def counts(done: int, of: int, untimed: int, most: int = 0, verb: str = " done") -> str:
    """How many trials are trained and scored, and how many of them have no latency yet; `most` is as in `Status`.

    >>> counts(14, 14, 9), counts(1, 1, 0)
    ('14 of 14 trials done, 9 without latency yet', '1 of 1 trial done')
    >>> counts(3, 9, 0, 73), counts(1, 9, 0, -1)
    ('3 trials done, of at most 73', '1 trial done')
    """
    told = f"{counted(done, 'trial')}{verb}" if most else f"{done} of {counted(of, 'trial')}{verb}"
    told += f", of at most {most}" if most > 0 else ""
    return told + (f", {untimed} without latency yet" if untimed else "")


def fraction(done: int, of: int, most: int = 0) -> str:
    """How many trials are done, of how many, in a few characters.

    >>> fraction(3, 14), fraction(3, 9, 73), fraction(3, 9, -1)
    ('3/14', '3/≤73', '3')
    """
    return f"{done}/≤{most}" if most > 0 else f"{done}" if most else f"{done}/{of}"


def plausible(name: str, value: Any) -> bool:
    """Whether `value` is of the kind that the field `name` of `Status` has."""
    if name == "state":
        return value in get_args(StudyStatus)
    spec = Status.__dataclass_fields__[name]
    example = spec.default_factory() if callable(spec.default_factory) else spec.default
    if example is None:
        return value is None or isinstance(value, str | dict)
    return isinstance(value, int | float if isinstance(example, int | float) else type(example))


def doubt(status: Status, seen: lives.Seen, every: float) -> str:
    """What a look at an engine on another node, that beats every so many seconds, can't rule out yet; empty where that
    was heard of a moment ago.

    `updated` is of the other node's clock, which may be wrong: it is asked only of an engine whose counter has not been
    seen to move, where it raises doubts and decides nothing.
    """
    silence = seen.still
    if not seen.moved and status.updated:
        silence = max(silence, time.time() - status.updated)
    if silence < lives.DOUBTFUL_AFTER_S:
        return ""
    return (
        f"Perhaps gone: process {status.pid} on {status.host} was last heard of {age(silence)}, and counts as lost "
        f"after {lives.lost_after_s(every):.0f} s of being watched in vain"
    )
