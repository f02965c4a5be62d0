"""Files and variables that a network's code asks for while it is built and called, though nobody can see in its text
that it does.

They decide what the network is, and are no part of what identifies it: an edit of one would go unseen.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch

from engine.errors import UsageError
from engine.sources import Program, Sources
from engine.sources.closure import ELSEWHERE, HOME
from engine.sources.kept import decides
from engine.store.keys import content_hash
from engine.text.phrases import listed

LISTED = 3
"""Files that the message says are opened."""
WRITTEN_OUT = 40
"""Files that the remedy names."""
EVENTS = frozenset(["open", "sqlite3.connect", "os.listdir", "os.scandir", "os.system", "subprocess.Popen"])
"""What Python tells of code that depends on more than its text."""
OF_OS = frozenset(
    function.__code__.co_filename for function in (os.getenv, os.environ.get, os.path.expandvars)
)
"""Files of Python's by which a variable's value comes to whom it is asked by."""
OURS = (sys.prefix, sys.base_prefix, HOME / "engine")
"""Folders of Python, of what is installed and of this program. What else lies in its checkout is the user's."""


@dataclass
class Watch:
    """What users' code opens and asks for: their network's while it is built and called, in whichever thread."""

    programs: dict[str, tuple[Sources, Program]] = field(default_factory=dict)
    """Those that build the networks, by their references."""
    files: set[str] = field(default_factory=set)
    """Their files, by which code that runs is known as theirs."""
    read: dict[str, None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    variables: dict[str, None] = field(default_factory=dict)
    listed: dict[str, None] = field(default_factory=dict)
    started: dict[str, None] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What nobody can see an edit of, and what is no reason to refuse a network."""
        unseen = "which is no part of what identifies results: after a change they are not computed anew"
        places = [Path(folder) for s, p in self.programs.values() for folder in (s.cwd, *p.folders)]
        folders = [one for one in self.listed if any(Path(one).is_relative_to(place) for place in places)]
        notes = [f"its code asks which files are in {listed(folders, LISTED)}, {unseen}"] if folders else []
        return notes + (
            [f"its code starts {listed(list(self.started), LISTED)} and may hang on the answer, {unseen}"]
            if self.started
            else []
        )


_watch: Watch | None = None
_hooked = False


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Within the block, what users' code opens and asks for is noted.

    Raises UsageError at its end for files that lie among the user's own and are not known to the sources, as neither
    their code nor the preset's arguments name them; for files known to them that were changed; and for environment
    variables that their code does not name.
    """
    global _watch, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # which stays as long as the process does
        _listen()
        _hooked = True
    _watch = watch = Watch()
    try:
        yield watch
    finally:
        _watch = None
    for reference, (sources, program) in watch.programs.items():
        _judge(watch, reference, sources, program)


def note_program(reference: str, sources: Sources, program: Program) -> None:
    """What `program` opens and asks for counts from now on, if it is watched."""
    if _watch is not None:
        _watch.programs[reference] = sources, program
        _watch.files.update(program.modules)


def _judge(watch: Watch, reference: str, sources: Sources, program: Program) -> None:
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
    if asked := sorted(name for name in watch.variables.keys() - sources.variables.keys() if decides(name)):
        raise _asked(reference, asked)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is None or event not in EVENTS or not _by_users():
        return
    match event:
        case "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int):
                _opened(path, writes=bool(flags & (os.O_WRONLY | os.O_RDWR)))
        case "sqlite3.connect":
            _opened(arguments[0], writes=False)
        case "os.listdir" | "os.scandir":
            _watch.listed[_absolute(arguments[0] or ".")] = None
        case "os.system":
            _watch.started[os.fsdecode(arguments[0]).partition(" ")[0]] = None
        case "subprocess.Popen":
            first = arguments[0] or arguments[1][0]
            _watch.started[Path(os.fsdecode(first)).name] = None


def _opened(path: Any, *, writes: bool) -> None:
    if _watch is None or not (place := _absolute(path)):
        return
    if writes:
        _watch.written.add(place)
    else:
        _watch.read[place] = None


def _absolute(path: Any) -> str:
    """Nothing for what is no path, such as a descriptor."""
    try:
        return os.path.normpath(Path(os.fsdecode(path)).absolute())
    except (FileNotFoundError, TypeError):  # the current folder was removed, and with it what lay there
        return ""


def _by_users() -> bool:
    """Whether users' code runs, or has called what runs; importing modules is Python's."""
    assert _watch is not None
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file in _watch.files:
            return True
        if file.startswith("<frozen importlib"):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _asked_by_users() -> bool:
    """Whether it is users' code itself that asks for a variable, and no library that it calls."""
    assert _watch is not None
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename in OF_OS:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and frame.f_code.co_filename in _watch.files


def _listen() -> None:
    """Have what Python gives no audit events of told to the watch, as long as the process lives: questions for
    environment variables, and safetensors, which opens files by itself."""
    environ: Any = type(os.environ)
    own, opens = environ.__getitem__, safetensors.safe_open

    def asked(variables: Any, name: Any) -> Any:
        if _watch is not None and isinstance(name, str | bytes) and _asked_by_users():
            _watch.variables[os.fsdecode(name)] = None
        return own(variables, name)

    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        if _watch is not None and _by_users():
            _opened(path, writes=False)
        return opens(path, *args, **kwargs)

    environ.__getitem__ = asked
    modules: list[Any] = [safetensors, safetensors.torch, safetensors.numpy]
    for module in modules:
        module.safe_open = opened


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


def _asked(reference: str, names: list[str]) -> UsageError:
    lines = "; ".join(f"os.environ.get({name!r})" for name in names[:LISTED])
    return UsageError(
        f"Your own code asks for environment variables that its text does not name: {reference}",
        f"It asks for {listed(names, LISTED)}. Their values are part of what identifies its results, so that these are "
        "computed anew with other ones.",
        f"Ask for each that it needs by its name, as os.environ has it; a line such as `{lines}` does.",
    )


def _changed(reference: str, file: str) -> UsageError:
    return UsageError(
        f"Your own code changes a file that it may read: {reference}",
        f"It writes to {file}, which its text or the preset's arguments name: what a network's code reads is part of "
        "what identifies its results.",
        "Write to another file than it reads, such as one in tempfile.gettempdir().",
    )
