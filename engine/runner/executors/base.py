"""What every executor offers to the supervisor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.studies import events as ev
from engine.studies.plan import Job, Node
from engine.studies.rundir import RunDir


@dataclass(frozen=True)
class Retry:
    """A worker's end that is likely no fault of its job: `why` it ended, and how many `times` to try the job again."""

    times: int
    why: str


KILLS_BORNE = 10
"""How often somebody may kill the process that workers are forked from before a job is given up for it."""
SERVER_KILLED = Retry(
    KILLS_BORNE, "The process that workers are forked from was killed; another takes its place"
)
WORKER_KILLED = Retry(
    1,
    "A worker was killed (SIGKILL), and no limit of memory is known to be why: its job is started once more. "
    "Finished steps stay; a training goes on from the epoch that was kept last, or begins anew where it was too "
    "short to keep one",
)


@dataclass(frozen=True)
class JobEnded:
    """A job's worker has ended; `problem` says why, unless it reports a good end. `retry`: see `Retry`."""

    job: Job
    problem: dict[str, str] | None
    retry: Retry | None = None

    def again(self, tries: int) -> Retry | None:
        """Why to start the job again, after `tries` earlier retries; None where it is not worth another."""
        return self.retry if self.retry is not None and tries < self.retry.times else None


Message = ev.Event | JobEnded


def without_result(node: Node, log: str) -> dict[str, str]:
    """The error of a node that has no result although its worker reported a good end: title, detail and remedy.

    `log` says whose log has more: the `engine`'s or the `task`'s.
    """
    return {
        "title": "The worker ended without a result",
        "detail": f"{node.address} was not done.",
        "remedy": f"The {log}'s log has more. `secateur resume` tries again.",
    }


class Carrier(Protocol):
    """Carries studies to their end, so that nobody has to stay: by an engine of ours, or by a cluster's scheduler.

    Whoever looks reads the study's folder, whichever it is.
    """

    def start(
        self, run: RunDir, *, here: bool, tell: Callable[[str], None], first: Callable[[], None]
    ) -> None:
        """Have the study carried out, from where it is.

        `here`: though this machine's bits will be others than those that it began with; `tell` hears of waiting.
        `first` is done before anything else, but not where the study is refused.
        Raises UsageError if it runs already or can't be as it was asked for, SecateurError if it does not start.
        """
        ...

    def cancel(self, run: RunDir) -> None:
        """Ask for the end of a study; what it has finished stays stored."""
        ...


class Executor(Protocol):
    """Runs jobs somewhere; told what to do by a study's engine, or by a task of it on a cluster."""

    def has_room(self, job: Job) -> bool:
        """Whether `job` could start now, an exclusive one only when nothing else runs."""
        ...

    def start(self, job: Job) -> None:
        """Start `job`; its events and its end come from `wait`."""
        ...

    def wait(self, timeout: float) -> list[Message]:
        """What the workers sent, waiting at most `timeout` seconds for it."""
        ...

    def ask(self) -> None:
        """Ask every worker to keep what it has of a running training and to end; their ends come from `wait`."""
        ...

    def stop(self) -> None:
        """End every worker now; unfinished steps are lost up to what they kept last."""
        ...
