"""Claims on keys, so that two processes on any nodes do not compute the same; nothing rests on them but time.

A claim is a small file that names its holder. The holder's counter beats in a file of its own; a reader who sees it
stand still for `DEAD_AFTER_S` of the reader's own clock takes the claim for free, and for two beats where its file is
that much older than the reader's own. No lock, no common clock. Two who get the same claim in a race compute twice; the
store keeps the first.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.errors import SecateurError
from engine.store import owners
from engine.store.files import explained, read_json, write_json
from engine.store.objects import STALE_AFTER

BEAT_S = 5.0
"""Seconds between two beats of a holder."""
DEAD_AFTER_S = 90.0
"""A counter that stands still for so long is dead: attributes are cached for up to 60 s on NFS."""


def bury(root: Path, begins: Iterable[str]) -> None:
    """Declare holders dead whose names begin so: whoever calls knows that they are gone, or soon will be."""
    starts = tuple(begins)
    for beat in (root / "claims" / "holders").glob("*.json") if starts else ():
        if beat.name.startswith(starts):
            with contextlib.suppress(OSError):
                beat.unlink()


def sweep(root: Path) -> None:
    """Remove this user's claims and counters that a killed process left long ago."""
    for folder in (root / "claims", root / "claims" / "holders"):
        for path in folder.glob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and owners.ours(path) and time.time() - _last(path) > STALE_AFTER:
                    path.unlink()


def _last(path: Path) -> float:
    """When a counter beat, or the holder of a claim: a step may take longer than a claim lives."""
    claim: Any = read_json(path)
    holder = claim.get("holder") if isinstance(claim, dict) else None
    times = [path.stat().st_mtime]
    with contextlib.suppress(OSError):
        if isinstance(holder, str) and holder:
            times.append((path.parent / "holders" / f"{holder}.json").stat().st_mtime)
    return max(times)


class Claims:
    """What one process holds of the store at `root`; its `holder` name is used by no other process.

    `supersedes` tells holders that are surely gone, such as an earlier attempt of the same task, by the begin of their
    name.
    """

    def __init__(self, root: Path, holder: str, supersedes: str = "") -> None:
        self.holder = holder
        self._supersedes = supersedes
        self._folder = root / "claims"
        self._beats = self._folder / "holders"
        self._held: set[str] = set()
        self._seen: dict[str, tuple[int, float]] = {}
        self._count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        with explained(self._beats):
            self._beats.mkdir(parents=True, exist_ok=True)
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back."""
        self._end.set()
        self._thread.join()
        self.release(tuple(self._held))
        with contextlib.suppress(OSError):
            self._file(self.holder).unlink()

    def take(self, key: str) -> bool:
        """Claim `key`; False while a living holder has it. Raises SecateurError where no claim can be written."""
        if key in self._held:
            return True
        path = self._folder / key
        with explained(path):
            try:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                return not self.alive(self._holder(key)) and self._steal(key)
            with os.fdopen(file, "w") as out:
                json.dump({"holder": self.holder}, out)
        self._held.add(key)
        return True

    def _steal(self, key: str) -> bool:
        write_json(self._folder / key, {"holder": self.holder}, durable=False)
        if self._holder(key) != self.holder:  # somebody else did the same a moment later
            return False
        self._held.add(key)
        return True

    def release(self, keys: Iterable[str]) -> None:
        """Give claims back; those taken over by others stay theirs."""
        for key in keys:
            if key in self._held:
                self._held.discard(key)
                if self._holder(key) == self.holder:
                    with contextlib.suppress(OSError):
                        (self._folder / key).unlink()

    def holder_of(self, key: str) -> str:
        """Who has `key` and lives; empty if it is free or ours."""
        if key in self._held:
            return ""
        holder = self._holder(key)
        return holder if holder and self.alive(holder) else ""

    def alive(self, holder: str) -> bool:
        """Whether another holder is at work, as far as its counter tells."""
        if holder == self.holder or (self._supersedes and holder.startswith(self._supersedes)):
            return False
        now = time.monotonic()
        beat: Any = read_json(self._file(holder)) if holder else None
        count = beat.get("count", 0) if isinstance(beat, dict) else -1
        known, since = self._seen.get(holder, (None, now))
        if known != count:
            known, since = count, now
        self._seen[holder] = (count, since)
        still = now - since
        # A holder gives its claims back before its counter goes: without one it was killed or is just beginning.
        if still >= 2 * BEAT_S and (count < 0 or self._is_behind(holder)):
            return False
        return still < DEAD_AFTER_S

    def _is_behind(self, holder: str) -> bool:
        """Whether its counter was written `DEAD_AFTER_S` before ours, as the file system tells, which has both.

        Whoever has less time than that to live would else never see one stand still for long enough.
        """
        try:
            return self._file(self.holder).stat().st_mtime - self._file(holder).stat().st_mtime > DEAD_AFTER_S
        except OSError:
            return False

    def _holder(self, key: str) -> str:
        claim: Any = read_json(self._folder / key)
        return str(claim.get("holder", "")) if isinstance(claim, dict) else ""

    def _file(self, holder: str) -> Path:
        return self._beats / f"{holder}.json"

    def _beat(self) -> None:
        while not self._end.wait(BEAT_S):
            with contextlib.suppress(SecateurError):  # a full disk is met, and told, by who computes
                self._write()

    def _write(self) -> None:
        self._count += 1
        write_json(self._file(self.holder), {"count": self._count}, durable=False)
