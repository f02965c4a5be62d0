"""Signals that ask a program to end, taken at one place so that none is lost and none kills what should be kept first.

An engine and its workers have them blocked from before they start: the engine waits for them in a thread, the workers
are told by the engine. So a signal to a whole process group or job ends nothing in the middle.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from engine.machine.allocation import Allocation
from engine.text.users import user_name

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers, shells and people send to have a program end, or as a warning that they soon will."""
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""Those that schedulers send ahead of a time limit where a job asks for it (`--signal`)."""


def block() -> None:
    """Keep the signals back in this thread and those that it starts, and in processes that they start."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """`block` for a while: processes started meanwhile have them blocked, and those for us come at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Hear them, whatever who started this program had blocked: a program that people use ends when it is asked to."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Ended(KeyboardInterrupt):
    """A signal that asks for an end came, outside of where one is expected; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interrupt() -> None:
    """Have each of them interrupt this program with Ended, as Ctrl+C does, so that what it has begun is taken back."""

    def end(number: int, _: object) -> NoReturn:
        raise Ended(number)

    for number in _heard():
        signal.signal(number, end)


def number_of(error: KeyboardInterrupt) -> int:
    """The signal that an interruption came from."""
    return error.number if isinstance(error, Ended) else signal.SIGINT


def check() -> None:
    """Raises Ended if one of the blocked signals has come."""
    if number := came():
        raise Ended(number)


def came() -> int:
    """The number of a blocked signal that has come, which is taken; 0 if none has."""
    info = signal.sigtimedwait(_heard(), 0)
    return info.si_signo if info else 0


def _heard() -> list[signal.Signals]:
    """Those that count here: not what was ignored when the program started, as `nohup` has it."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def handle(take: Callable[[int, dict[str, str]], None]) -> None:
    """Have `take` called for those that come while they are not blocked, with what `wait` gives."""
    for number in _heard():
        signal.signal(number, lambda number, _: take(number, meaning(number, Allocation.here())))


def wait() -> tuple[int, dict[str, str]]:
    """Wait for one of the blocked signals: its number, and as an error's title and detail what it meant."""
    info = signal.sigwaitinfo(_heard())
    return info.si_signo, meaning(info.si_signo, Allocation.here(), info.si_pid, info.si_uid)


def meaning(number: int, job: Allocation | None, sender: int = 0, user: int = 0) -> dict[str, str]:
    """What a signal meant, as far as that can be known, as an error's title, detail and remedy."""
    name = signal.Signals(number).name
    by = _command(sender)
    whose = f"{by} (process {sender}) of {user_name(user)}" if by else ""
    scheduler = job is not None and (not sender or by.startswith("slurm") or job.near_its_end)
    remedy = "`secateur resume` goes on where it was."
    if job is None or not scheduler:
        return {"title": f"Ended by {name}", "detail": f"Sent by {whose}." if whose else "", "remedy": remedy}
    if job.near_its_end:
        title = f"The time limit of {job.name} was near"
    elif number in WARNINGS:
        title = f"{job.name} was warned of its end"
    else:
        title = f"{job.name} was ended: cancelled, preempted, or at its time limit"
    return {
        "title": title,
        "detail": f"It got {name}" + (f" from {whose}." if whose else "."),
        "remedy": "`secateur resume` goes on where it was, in another job with more time.",
    }


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
    except OSError:
        return ""
