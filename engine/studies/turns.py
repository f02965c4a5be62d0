"""Whose turn it is: studies of a workspace that one machine computes one after the other.

A study that is to wait has a `turn.json`, which says since when. Its own engine looks whether those before it are
over: whatever runs there already, and what has waited for longer. So nothing else has to run, an engine that was killed
keeps nobody waiting, and of two that look at the same moment only the one that came first begins.
"""

import contextlib
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.store.files import explained, read_json, write_json
from engine.studies import state
from engine.studies.rundir import RunDir, studies
from engine.studies.status import Status
from engine.text.numbers import duration


@dataclass(frozen=True)
class Turn:
    """Since when a study waits, in seconds since 1970 by this machine's clock; `begun`: it had its turn."""

    since: float
    begun: bool


@dataclass(frozen=True)
class Ahead:
    """A study that comes before another one; `since` is when it began to wait, None where it has begun."""

    run: RunDir
    since: float | None


def wait(run: RunDir) -> None:
    """Have the study wait for its turn, from now on."""
    write_json(run.turn, {"since": time.time(), "begun": False})


def begin(run: RunDir, within: Path | None = None) -> None:
    """Have the study begin, whoever was before it; `within` as in `write_json`."""
    turn = read(run)
    write_json(run.turn, {"since": turn.since if turn else time.time(), "begun": True}, within=within)


def forget(run: RunDir) -> None:
    """Have the study wait for nobody."""
    with explained(run.turn), contextlib.suppress(FileNotFoundError):
        run.turn.unlink()


def read(run: RunDir) -> Turn | None:
    """The study's turn; None where it never waited."""
    kept = read_json(run.turn)
    if not isinstance(kept, dict) or not isinstance(since := kept.get("since"), int | float):
        return None
    return Turn(float(since), kept.get("begun") is True)


def waits(run: RunDir) -> bool:
    """Whether the study still waits for its turn, if it has an engine."""
    turn = read(run)
    return turn is not None and not turn.begun


def at_work(workspace: Path, but: str = "") -> list[Ahead]:
    """The studies that run or wait on this machine, those that run first, then in their order; not the one called
    `but`."""
    return _in_order(run for run in studies(workspace) if run.name != but)


def _in_order(runs: Iterable[RunDir]) -> list[Ahead]:
    there = []
    for run in runs:
        if not _here(status := run.read_status()):
            continue
        turn = read(run)
        if turn is not None and not turn.begun:
            there.append(Ahead(run, turn.since))
        elif turn is not None or status.state == "running":
            there.append(Ahead(run, None))
    return sorted(there, key=lambda one: (one.since or 0.0, one.run.name))


def _here(status: Status) -> bool:
    return (
        status.state in ("queued", "running")
        and status.executor == "local"
        and status.host == socket.gethostname()
    )


def ahead(run: RunDir, known: Sequence[Ahead] = ()) -> list[Ahead]:
    """The studies that come before this one; none for one that waits for nobody.

    `known`: those of an earlier look. While one of them still comes before it, only they are looked at: a workspace may
    have hundreds of studies on a slow disk.
    """
    turn = read(run)
    if turn is None or turn.begun:
        return []
    mine = turn.since, run.name

    def before(there: Sequence[Ahead]) -> list[Ahead]:
        return [one for one in there if one.since is None or (one.since, one.run.name) < mine]

    return before(_in_order(one.run for one in known)) or before(at_work(run.workspace, run.name))


def in_words(before: Sequence[Ahead]) -> str:
    """What a study waits for, with the time that those which run still take, as far as that is known.

    `for its turn, after quickstart-1 (about 2 m 4 s left) and mob-1`.
    """
    names = []
    for one in before:
        left = _left(one.run) if one.since is None else None
        names.append(one.run.name + (f" (about {duration(left)} left)" if left is not None else ""))
    *first, last = names
    return f"for its turn, after {', '.join(first)}{' and ' if first else ''}{last}"


def _left(run: RunDir) -> float | None:
    """Seconds that a running study still takes; None where that is not known, or its events make no sense."""
    try:
        return state.load(run.path).remaining_seconds()
    except state.MALFORMED:
        return None
