"""Every file of the user's that a file of theirs runs: what it imports, what those import, and so on."""

import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.sources import code

MOST_FILES = 2000
"""Files that one program may run. More are not a program: the search has gone into a folder of other things."""
HOME = Path(__file__).resolve().parents[2]
"""Where this program lies: its own modules are not the user's."""
ELSEWHERE = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
"""Folders in which there is nothing of the user's own."""
OF_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""Folders whose files say how the machine is at the moment: each reading has another content."""


@dataclass
class Closure:
    """What a file runs.

    Attributes:
        folders: Where its imports are looked for, in that order.
        modules: Files of Python, by absolute path.
        others: Files that its texts name, and compiled modules: they are read, not run by us.
        packages: First parts of imported names that are installed packages.
        variables: Environment variables that its texts ask for.
    """

    folders: list[Path]
    modules: dict[Path, bytes] = field(default_factory=dict)
    others: set[Path] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)


def closure(file: Path, cwd: Path) -> Closure:
    """What `file` runs in a shell whose folder is `cwd`; its own folder comes first, as there.

    Raises UsageError for a file that is no Python, with its line.
    """
    importlib.invalidate_caches()  # a process that lives for days meets folders and packages that come and go
    _place.cache_clear()
    reached = Closure([file.parent, *_package_root(file)])
    queue = [file]
    while queue:
        path = queue.pop()
        if path in reached.modules:
            continue
        if len(reached.modules) >= MOST_FILES:
            raise SecateurError(
                f"{file} runs more than {MOST_FILES} files",
                f"The last was {path}.",
                "Keep the network and what it needs in a folder of its own.",
            )
        reached.modules[path] = content = path.read_bytes()
        queue += _reached_from(path, content, reached, cwd, root=file)
    return reached


def _reached_from(path: Path, content: bytes, program: Closure, cwd: Path, root: Path) -> list[Path]:
    try:
        source = code.read(content, str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        if path != root:  # perhaps it is never imported; if it is, Python says the same with its line
            return []
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UsageError(
            f"Your own code can't be read: {path}",
            f"{type(error).__name__}: {getattr(error, 'msg', error)} ({path}{line})",
            "Correct the file.",
        ) from error
    for folder in source.folders:
        added = Path(os.path.normpath(cwd / folder))
        if added not in program.folders and not _installed(added):
            program.folders.append(added)
    program.others |= named_files(source.texts, (cwd, path.parent)) - program.modules.keys()
    program.variables |= source.variables
    reached = [file for one in source.imports for file in _imported(one, path, program, cwd)]
    return reached + (list(_below(path.parent)) if source.open_ended else [])


def named_files(texts: Iterable[str], places: Sequence[Path]) -> set[Path]:
    """Files that exist where the texts would name them."""
    named = set()
    for text in texts:
        for place in places:
            path = Path(os.path.normpath(place / text))
            try:
                if path.is_file() and not any(path.is_relative_to(one) for one in OF_SYSTEM):
                    named.add(path)
            except (OSError, ValueError):  # a text that no file system takes for a name
                break
    return named


def _imported(one: code.Import, importer: Path, program: Closure, cwd: Path) -> Iterator[Path]:
    parts = one.name.split(".") if one.name else []
    if one.level:
        base: Path | None = importer.parent
        for _ in range(one.level - 1):
            base = base.parent if base else None
        yield from _one(base / "__init__.py") if base else ()
    else:
        base = home_of(parts[0], program.folders) if parts else None
        if base is None and parts:
            base = _beside(parts[0], program, cwd)
    if base is not None:
        yield from _files(base, parts, one.names, program)


def home_of(name: str, folders: list[Path]) -> Path | None:
    """The folder in which Python would find the module or package `name`: one with code before a mere folder."""
    for folder in folders:
        if (folder / name / "__init__.py").is_file() or (folder / f"{name}.py").is_file():
            return folder
        if compiled(folder, name):
            return folder
    if not _is_elsewhere(name):
        return next((folder for folder in folders if (folder / name).is_dir()), None)
    return None


def _beside(name: str, program: Closure, cwd: Path) -> Path | None:
    """The folder for a name that the program's own folders do not have; installed packages are noted instead."""
    place = _place(name)
    if place is None:
        home = home_of(name, [cwd])
    elif _installed(place):
        if not _standard(place):
            program.packages.add(name)
        return None
    else:  # on PYTHONPATH, or installed as editable: the user's own all the same
        home = place
    if home is not None and home not in program.folders:
        program.folders.append(home)
    return home


@lru_cache(maxsize=1024)
def _place(name: str) -> Path | None:
    """The folder in which this Python finds the module `name`; None where it does not.

    Whatever was imported under that name meanwhile, and wherever this process stands, do not matter.
    """
    path = [folder for folder in sys.path if folder and not _of_a_package(Path(folder))]
    specs = (f.find_spec(name, path if f is PathFinder else None) for f in sys.meta_path)
    try:
        spec = next((one for one in specs if one is not None), None)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent
    return Path(spec.origin).parent if spec.has_location and spec.origin else _library()


def _of_a_package(folder: Path) -> bool:
    """Whether an installed package put a folder of its own on the path, as onnxruntime does for its scripts."""
    return bool(ELSEWHERE & set(folder.parts)) and (folder / "__init__.py").is_file()


def _is_elsewhere(name: str) -> bool:
    return _place(name) is not None


@lru_cache(maxsize=1)
def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _standard(place: Path) -> bool:
    return not ELSEWHERE & set(place.parts) and (place == _library() or _library() in place.parents)


def _installed(place: Path) -> bool:
    """Whether modules there belong to Python, to an installed package or to this program."""
    resolved = place.resolve()
    return (
        bool(ELSEWHERE & set(place.parts))
        or place == _library()
        or _library() in place.parents
        or resolved == HOME
        or Path(sysconfig.get_path("platstdlib")) in place.parents
    )


def _package_root(file: Path) -> list[Path]:
    """The folder that holds the outermost package of which `file` is part; nothing where it is in none, or where that
    folder has what is installed, or this program, beside it: only what is below the package is the user's."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return [folder] if folder != file.parent and not _installed(folder) else []


def _files(base: Path, parts: list[str], names: tuple[str, ...], program: Closure) -> Iterator[Path]:
    """The files that importing `parts` from the folder `base` runs, and those of the names taken from it."""
    folder = base
    for part in parts:
        if (folder / f"{part}.py").is_file() and not (folder / part / "__init__.py").is_file():
            yield folder / f"{part}.py"
            return
        if extension := compiled(folder, part):
            program.others.add(extension)
        folder /= part
        yield from _one(folder / "__init__.py")
    for name in names:
        if name == "*":
            yield from sorted(folder.glob("*.py"))
        else:
            yield from _one(folder / f"{name}.py")
            yield from _one(folder / name / "__init__.py")


def _one(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def compiled(folder: Path, name: str) -> Path | None:
    """The compiled module `name` in a folder, if there is one for this Python."""
    return next(
        (folder / f"{name}{end}" for end in EXTENSION_SUFFIXES if (folder / f"{name}{end}").is_file()), None
    )


def _below(folder: Path) -> Iterator[Path]:
    """Every Python file below a folder; environments, hidden folders and installed packages left out."""
    for top, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ELSEWHERE)
        yield from (Path(top, name) for name in sorted(files) if name.endswith(".py"))
