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

LISTED = 3
"""Files that the message names."""


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
    `sources`: neither their code nor the preset's arguments name them.
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
    known = set(map(os.path.realpath, sources.files))
    unseen = [
        file
        for file in watch.read.keys() - watch.written
        if os.path.realpath(file) not in known and _own(Path(file), places)
    ]
    if unseen:
        raise _refused(reference, sorted(unseen))


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or _watch is None or not _watch.inside or threading.get_ident() != _watch.thread:
        return
    path, _, flags = arguments
    if isinstance(path, str | bytes) and isinstance(flags, int):
        place = str(Path.cwd() / os.fsdecode(path))
        if flags & (os.O_WRONLY | os.O_RDWR):
            _watch.written.add(place)
        else:
            _watch.read[place] = None


def _own(file: Path, places: list[Path]) -> bool:
    """Whether a file lies where the user's code does or the study was started, and is neither installed there, nor
    hidden, as caches and a workspace are."""
    if any(file.is_relative_to(place) for place in (sys.prefix, sys.base_prefix, HOME)) or not file.is_file():
        return False
    inner = [file.relative_to(place).parts for place in places if file.is_relative_to(place)]
    return any(
        not ELSEWHERE & set(parts) and not any(part.startswith(".") for part in parts)
        for parts in inner
        if len(parts) < len(file.parts) - 1  # not of the root, where everything lies
    )


def _refused(reference: str, unseen: list[str]) -> UsageError:
    more = f" and {len(unseen) - LISTED} more" if len(unseen) > LISTED else ""
    names = [os.path.relpath(file) for file in unseen[:LISTED]]
    return UsageError(
        f"Your own code reads files that its text does not name: {reference}",
        f"It opens {', '.join(unseen[:LISTED])}{more}. What a network's code reads is part of what identifies its "
        "results, so that they are computed anew after an edit.",
        f"Write the paths into the code as they are: a line `READS = {names}` in it does; or give them in the preset's "
        "model.arguments.",
    )
