"""The right to be a study's engine, kept in the study's own folder, so that it holds for every node that sees it.

`lease/000007/` is the seventh engine's. Whoever wants the next one fills a folder and renames it to the next number:
one of any number of tries succeeds. The engine's counter lies in it and moves every few seconds; it is watched by
others with their own clocks (`engine.studies.lives`), no clock is compared with another.

Whoever takes a study over removes the folder of the engine before. That is the fence: what an engine writes goes
through its folder (a file is made there and renamed to its place), so that one which was suspended, taken for dead and
goes on can replace nothing any more, at whatever point it was. Its log goes to a file that the new engine has put a
copy in place of.
"""

import contextlib
import json
import shutil
import threading
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import EXIT_HELD, SecateurError
from engine.machine.allocation import Allocation
from engine.machine.process import Process
from engine.store.files import explained, read_mapping

FOLDER = "lease"
HOLDER = "holder.json"
COUNTER = "counter"
ENDED = "ended"
"""In place of a count: the engine is through and has given the study back."""
WIDTH = 20
"""Bytes of a counter. Overwritten in place it needs no space, so a full disk does not make an engine seem dead."""


class Held(SecateurError):
    """The study has an engine that is not known to be gone."""

    exit_code = EXIT_HELD


class Superseded(SecateurError):
    """Another engine has taken the study over, or its folder is gone: nothing may be written any more."""


@dataclass(frozen=True)
class Holder:
    """The engine that holds a study's latest lease.

    `counter` is what moves while it lives. `every` is how often, in seconds. `ended`: it gave the study back.
    """

    term: int
    process: Process
    every: float
    counter: str
    ended: bool
    allocation: Allocation | None

    def gone(self, silent: str = "") -> bool:
        """Whether the engine surely is gone; `silent` is a counter that has been watched and stood still."""
        if self.ended or (silent and silent == self.counter):
            return True
        ours = Allocation.here()
        if ours and self.allocation and self.allocation.before(ours):
            return True
        return self.process.fate() == "gone"


def holder(run: Path) -> Holder | None:
    """Who holds, or held, the latest lease of the study in folder `run`; None if it never had an engine."""
    terms = _terms(run)
    if not terms:
        return None
    folder = _folder(run, terms[-1])
    kept = read_mapping(folder / HOLDER)
    try:
        count = (folder / COUNTER).read_text().strip()
    except OSError:
        count = ""
    every, process, job = kept.get("every"), kept.get("process"), kept.get("allocation")
    return Holder(
        terms[-1],
        Process.from_dict(process) if isinstance(process, dict) else Process("another node"),
        float(every) if isinstance(every, int | float) else 0.0,
        f"{terms[-1]}:{count}",
        count == ENDED,
        Allocation.from_dict(job) if isinstance(job, dict) else None,
    )


def claim(run: Path, every: float, silent: str = "") -> "Lease":
    """Become the engine of the study in folder `run`; the counter will move every `every` seconds.

    Raises Held where another engine has it, unless that is gone by what this machine knows or by its counter
    `silent`, which was watched and stood still.
    """
    before = holder(run)
    if before is not None and not before.gone(silent):
        raise _held(run, before)
    term = before.term + 1 if before else 1
    target, draft = _folder(run, term), run / FOLDER / f".{uuid.uuid4().hex[:12]}"
    job = Allocation.here()
    kept = {
        "process": asdict(Process.this()),
        "every": every,
        "allocation": job and asdict(job),
        "claim": draft.name,
    }
    with explained(target):
        draft.mkdir(parents=True)
        try:
            (draft / HOLDER).write_text(json.dumps(kept))
            (draft / COUNTER).write_bytes(_counter("0"))
            with contextlib.suppress(OSError):
                draft.rename(target)  # fails where a filled folder stands: somebody was faster
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    ours = read_mapping(target / HOLDER).get("claim") == draft.name  # however the renaming was answered
    if not ours or _terms(run)[-1:] != [term]:
        if ours:
            shutil.rmtree(target, ignore_errors=True)
        after = holder(run)
        raise (
            _held(run, after) if after else SecateurError("The study's folder can't be written", str(target))
        )
    for older in _terms(run)[:-1]:
        _shut_out(_folder(run, older))
    return Lease(run, term, cut_off=before is not None and not before.ended)


def _shut_out(folder: Path) -> None:
    """Take an engine's folder from it: whole and at once, then file by file."""
    gone = folder.with_name(f".gone-{folder.name}-{uuid.uuid4().hex[:12]}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
    for one in (gone, folder):
        shutil.rmtree(one, ignore_errors=True)


class Lease:
    """The lease as its engine holds it.

    Attributes:
        folder: Where files are made before they are renamed to their place.
        cut_off: Whether the engine before did not give the study back, so that it may still write.
    """

    def __init__(self, run: Path, term: int, *, cut_off: bool) -> None:
        self.folder = _folder(run, term)
        self.cut_off = cut_off
        self._run = run
        self._count = 0
        self._released = False
        self._writing = threading.Lock()

    def check(self) -> None:
        """Raises Superseded where the lease is lost."""
        if not (self.folder / HOLDER).exists():
            raise self._superseded()

    def beat(self) -> None:
        """Move the counter, until the study is given back.

        Raises Superseded where the lease is lost; OSError where the disk does not answer.
        """
        with self._writing:
            if not self._released:
                self._count += 1
                self._write(str(self._count))

    def release(self) -> None:
        """Give the study back; without effect where it is another's already."""
        with self._writing, contextlib.suppress(Superseded, OSError):
            self._released = True
            self._write(ENDED)

    def _write(self, text: str) -> None:
        try:
            with (self.folder / COUNTER).open("r+b", buffering=0) as file:
                file.write(_counter(text))
        except FileNotFoundError:
            raise self._superseded() from None

    def _superseded(self) -> Superseded:
        now = holder(self._run)
        if now is None:
            return Superseded(
                "The study's folder is gone", str(self._run), "Nothing can be written there any more."
            )
        return Superseded(
            f"Study {self._run.name} was taken over by another engine",
            f"It is process {now.process.pid} on {now.process.host}: this one had not been heard of.",
            "This one has stopped and writes nothing any more.",
        )


def _held(run: Path, by: Holder) -> Held:
    return Held(
        f"Study {run.name} has an engine already",
        f"On {by.process.host}, process {by.process.pid}.",
        f"`secateur watch {run.name}` follows it.",
    )


def _counter(text: str) -> bytes:
    return text.ljust(WIDTH - 1).encode() + b"\n"


def _folder(run: Path, term: int) -> Path:
    return run / FOLDER / f"{term:06d}"


def _terms(run: Path) -> list[int]:
    try:
        return sorted(int(entry.name) for entry in (run / FOLDER).iterdir() if entry.name.isdigit())
    except OSError:
        return []
