"""Whether the engine of a study on another node lives: its counter is watched, by our own monotonic clock.

The clocks of two nodes differ, and a look at one moment tells nothing. So what counts is time during which we looked
and the counter stood; an hour between two looks counts as seconds, for who knows what the shared file system did
meanwhile. What was seen is kept in a folder of this machine, for the next command.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.machine import private
from engine.machine.process import process_identity
from engine.store.files import read_json, write_atomic

LOST_AFTER_S = 75.0
"""Watched silence after which an engine on another node counts as gone: NFS may show old contents for a minute."""
DOUBTFUL_AFTER_S = 20.0
"""Silence after which it is told that it may be gone: four beats, more than a busy file system makes wait."""
BEATS = 15
"""Beats that fit into that time."""
VARIABLE = "SECATEUR_LOST_AFTER"
"""Where file systems stand still for longer, or never: another number of seconds."""
FORGOTTEN_AFTER_S = 86_400.0
"""Age of a last look at which it is dropped."""


def lost_after_s(every: float = 0.0) -> float:
    """Seconds of watched silence after which an engine is lost that beats every so many seconds (0: not known).

    As long as is set here, or where the engine was started if that is longer: it beats by its own setting. Raises
    UsageError where the variable is no number.
    """
    return max(_set_here(), BEATS * every)


def _set_here() -> float:
    given = os.environ.get(VARIABLE)
    if not given:
        return LOST_AFTER_S
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 86_400.0:
        raise UsageError(f"{VARIABLE} is {given!r}", "It has to be seconds, from 1 to 86400.")
    return seconds


def beat_s() -> float:
    """Seconds between two beats of an engine that is started here."""
    return _set_here() / BEATS


@dataclass
class Seen:
    """What is known of a counter: its value; for how many seconds it was watched to stand still; by our monotonic
    clock, when it was looked at last and when it was first seen with this value; whether it was ever seen to move."""

    counter: str
    silence: float
    looked: float
    since: float
    moved: bool

    @property
    def still(self) -> float:
        """Seconds since it was first seen as it is now: what happened meanwhile nobody knows."""
        return self.looked - self.since


class Lives:
    """What was seen of engines on other nodes, in this process and by others of this machine before."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._read = self._written = -FORGOTTEN_AFTER_S

    def look(self, run: Path, counter: str, every: float) -> Seen:
        """Look at the counter of `run`'s engine, which should move every so many seconds: what is known of it then."""
        now, name = time.monotonic(), str(run.absolute())
        if not self._seen:
            self._recall()
        before = self._seen.get(name)
        if before is None or before.counter != counter or before.looked > now:
            self._seen[name] = Seen(counter, 0.0, now, now, moved=before is not None)
        else:
            before.silence += min(now - before.looked, 2 * (every or beat_s()))
            before.looked = now
        self._keep(now)
        return self._seen[name]

    def _recall(self) -> None:
        file = _memory()
        kept = read_json(file) if file else None
        if isinstance(kept, dict) and kept.get("boot") == process_identity(os.getpid())[1]:
            with contextlib.suppress(TypeError, AttributeError):
                self._seen = {name: Seen(*seen) for name, seen in kept["seen"].items()}

    def _keep(self, now: float) -> None:
        """Write down what was seen, now and then; where that can't be, only this process knows it."""
        if now - self._written < beat_s():
            return
        self._written = now
        fresh = {name: seen for name, seen in self._seen.items() if now - seen.looked < FORGOTTEN_AFTER_S}
        kept = {
            "boot": process_identity(os.getpid())[1],
            "seen": {n: list(vars(s).values()) for n, s in fresh.items()},
        }
        if file := _memory():
            with contextlib.suppress(SecateurError, OSError):
                write_atomic(file, json.dumps(kept), durable=False)


def _memory() -> Path | None:
    try:
        return private.folder() / "engines-elsewhere.json"
    except SecateurError:
        return None


seen = Lives()
"""The memory of this process."""
