"""Files of the user's that a network's code opens while it is built, though nobody can see in its text that it does.

They decide what the network is, and are no part of what identifies it: an edit of one would go unseen.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import UsageError
from engine.sources import Program, Sources
from engine.sources.closure import ELSEWHERE, HOME
from engine.store.keys import content_hash
from engine.text.phrases import listed

LISTED = 3
"""Files that the message says are opened."""
WRITTEN_OUT = 40
"""Files that the remedy names."""
OURS = (sys.prefix, sys.base_prefix, HOME / "engine")
"""Folders of Python, of what is installed and of this program. What else lies in its checkout is the user's."""


@dataclass
class _Watch:
    """What a thread opens while `inside` is above 0."""

    thread: int = field(default_factory=threading.get_ident)
    inside: int = 0
    read: dict[str, None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


_watch: _Watch | None = None
_hooked = False


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within the block, users' code that opens what it does not name is refused."""
    global _watch, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # which stays as long as the process does
        _hooked = True
    _watch = _Watch()
    try:
        yield
    finally:
        _watch = None


@contextlib.contextmanager
def noted(reference: str, sources: Sources, program: Program) -> Iterator[None]:
    """Within the block it is users' code that opens files.

    Raises UsageError at its end, if that is watched, for files that lie among the user's own and are not known to
    `sources`, as neither their code nor the preset's arguments name them; and for files known to it that were changed.
    """
    watch = _watch
    if watch is None:
        yield
        return
    watch.inside += 1
    try:
        yield
    finally:
        watch.inside -= 1
    places = [Path(sources.cwd), *map(Path, program.folders)]
    known = {os.path.realpath(file): kept.digest for file, kept in sources.files.items()}
    for file in watch.written:
        path = Path(os.path.realpath(file))
        if str(path) in known and path.is_file() and content_hash(path) != known[str(path)]:
            raise _changed(reference, file)
    unseen = [
        file
        for file in watch.read.keys() - watch.written
        if os.path.realpath(file) not in known and _own(Path(file), places)
    ]
    if unseen:
        raise _refused(reference, sorted(unseen), sources.cwd)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or _watch is None or not _watch.inside or threading.get_ident() != _watch.thread:
        return
    path, _, flags = arguments
    if isinstance(path, str | bytes) and isinstance(flags, int):
        try:
            place = os.path.normpath(Path(os.fsdecode(path)).absolute())
        except FileNotFoundError:  # the current folder was removed, and with it what lay there
            return
        if flags & (os.O_WRONLY | os.O_RDWR):
            _watch.written.add(place)
        else:
            _watch.read[place] = None


def _own(file: Path, places: list[Path]) -> bool:
    """Whether a file lies where the user's code does or the study was started, and is neither installed there, nor
    hidden, as caches and a workspace are."""
    if any(file.is_relative_to(place) for place in OURS) or not file.is_file():
        return False
    inner = [file.relative_to(place).parts for place in places if file.is_relative_to(place)]
    return any(
        not ELSEWHERE & set(parts) and not any(part.startswith(".") for part in parts)
        for parts in inner
        if len(parts) < len(file.parts) - 1  # not of the root, where everything lies
    )


def _refused(reference: str, unseen: list[str], cwd: str) -> UsageError:
    # As the code's own folder has them, whose texts are looked for there too, from wherever the next study is started.
    folder = Path(reference.rpartition(":")[0] or reference).resolve().parent
    names = [
        os.path.relpath(file, folder if Path(file).is_relative_to(folder) else cwd)
        for file in unseen[:WRITTEN_OUT]
    ]
    return UsageError(
        f"Your own code reads files that its text does not name: {reference}",
        f"It opens {listed(unseen, LISTED)}. What a network's code reads is part of what identifies its "
        "results, so that they are computed anew after an edit.",
        f"Write the paths into the code as they are: a line `READS = {names}` in it does; or give them in the preset's "
        "model.arguments.",
    )


def _changed(reference: str, file: str) -> UsageError:
    return UsageError(
        f"Your own code changes a file that it may read: {reference}",
        f"It writes to {file}, which its text or the preset's arguments name: what a network's code reads is part of "
        "what identifies its results.",
        "Write to another file than it reads, such as one in tempfile.gettempdir().",
    )
