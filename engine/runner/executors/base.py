"""What every executor offers to the supervisor."""

from dataclasses import dataclass
from typing import Protocol

from engine.studies import events as ev
from engine.studies.plan import Job

BLAMELESS_TRIES = 3
"""How often a job is started again whose worker ended for what has nothing to do with it."""


@dataclass(frozen=True)
class JobEnded:
    """A job's worker is gone; `problem` is why, if it did not end well by its own account.

    `blameless`: it ended for what has nothing to do with the job, which is worth another try.
    """

    job: Job
    problem: dict[str, str] | None
    blameless: bool = False


Message = ev.Event | JobEnded


class Executor(Protocol):
    """Runs jobs somewhere; told what to do by the supervisor alone."""

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
