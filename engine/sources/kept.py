"""A user's sources as a study keeps them: it goes on, and is replayed, with the code that it began with."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.errors import SecateurError, UsageError
from engine.params import Step
from engine.params.catalog import own_code
from engine.params.distillation import own_teachers
from engine.params.preset import Settings
from engine.sources.closure import closure
from engine.store.files import read_json
from engine.store.keys import content_hash, key

IN_NUMERICS = frozenset({"torch", "torchvision", "numpy", "sklearn", "torch_pruning"})
"""Packages whose versions are in every key already."""


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when the study began: its SHA-256, and of Python its text (in `encoding`)."""

    digest: str
    text: str | None = None
    encoding: str = "utf-8"

    @property
    def content(self) -> bytes:
        assert self.text is not None
        return self.text.encode(self.encoding)


@dataclass(frozen=True)
class Program:
    """What one file of the user's runs, its own name not among it.

    Attributes:
        folders: Where its imports are looked for, in that order; absolute.
        modules: Files of Python that it may run, itself included.
        others: Files that it may read.
        packages: Installed packages that it imports, with their versions.
    """

    folders: tuple[str, ...]
    modules: tuple[str, ...]
    others: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """All code of the user's that a study runs; `cwd` is the folder in which it was started."""

    cwd: str
    programs: dict[str, Program] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_dict(content: dict[str, Any]) -> "Sources":
        programs = {
            file: Program(tuple(p["folders"]), tuple(p["modules"]), tuple(p["others"]), p["packages"])
            for file, p in content["programs"].items()
        }
        return Sources(
            content["cwd"], programs, {path: SourceFile(**file) for path, file in content["files"].items()}
        )

    def material(self, reference: str) -> dict[str, Any]:
        """What of the code behind `reference` decides a result: its files' hashes and its packages' versions."""
        program = self.programs.get(file_of(reference))
        if program is None:
            return {}
        names = sorted({*program.modules, *program.others})
        versions = {n: v for n, v in program.packages.items() if n not in IN_NUMERICS}
        hashed: dict[str, Any] = {"model_files": {name: self.files[name].digest for name in names}}
        return hashed | ({"model_packages": versions} if versions else {})

    def identity(self, reference: str) -> str:
        """Tells programs apart, 12 hexadecimal digits."""
        return key({"file": file_of(reference), **self.material(reference)})[:12]

    def changed(self) -> list[str]:
        """Files that are not as they were, or not there any more; absolute, in order."""
        return [path for path, file in sorted(self.files.items()) if _digest(Path(path)) != file.digest]


def collect(named: Iterable[str], cwd: Path) -> Sources:
    """The sources behind references such as `path/net.py:build`, as they are now.

    Raises UsageError for a file that is missing or is no Python.
    """
    programs: dict[str, Program] = {}
    files: dict[str, SourceFile] = {}
    for file in dict.fromkeys(file_of(reference) for reference in named):
        path = Path(file)
        if not path.is_file():
            raise UsageError(f"No file {file}", "The preset names a function in it.", "Correct the path.")
        reached = closure(path, cwd)
        for module, content in reached.modules.items():
            files[str(module)] = _source(content)
        others = sorted(str(one) for one in reached.others - reached.modules.keys())
        files |= {name: SourceFile(digest) for name in others if (digest := _digest(Path(name)))}
        programs[file] = Program(
            tuple(map(str, reached.folders)),
            tuple(sorted(map(str, reached.modules))),
            tuple(name for name in others if name in files),
            _versions(reached.packages),
        )
    return Sources(str(cwd), programs, files)


def references(trials: Iterable[tuple[Settings, Iterable[Step]]]) -> list[str]:
    """Every function of the user's own that trials name: for models, data and teachers."""
    named: dict[str, None] = {}
    for settings, steps in trials:
        names = [settings.model.name, settings.data.name]
        names += [teacher.name for teacher in own_teachers(steps)]
        named |= {name: None for name in names if own_code(name)}
    return list(named)


def read(file: Path) -> Sources | None:
    """The sources that a study keeps in `file`; None where there is no such file.

    Raises SecateurError where it can't be read: what is on disk now would be other code.
    """
    content = read_json(file)
    with contextlib.suppress(
        KeyError, TypeError, ValueError, AttributeError
    ):  # of another version, or not ours
        if isinstance(content, dict):
            return Sources.from_dict(content)
    if not os.path.lexists(file):
        return None
    raise SecateurError(
        f"The code of study {file.parent.name} can't be read",
        f"{file} is damaged, or closed to this user.",
        "Run its preset as a new study.",
    )


def file_of(reference: str) -> str:
    """The file that a reference names, links followed, as Python does with a script.

    >>> file_of("/a/b/../net.py:build")
    '/a/net.py'
    """
    return str(Path(reference.rpartition(":")[0]).resolve())


def _source(content: bytes) -> SourceFile:
    digest = hashlib.sha256(content).hexdigest()
    try:
        return SourceFile(digest, content.decode())
    except UnicodeDecodeError:  # whatever it declares itself to be in: here only its bytes have to come back
        return SourceFile(digest, content.decode("latin-1"), "latin-1")


def _digest(path: Path) -> str:
    """The file's SHA-256; "" where it can't be read."""
    try:
        return content_hash(path)
    except OSError:
        return ""


def _versions(packages: set[str]) -> dict[str, str]:
    """The installed version of each package, by the name that it is imported by."""
    if not packages - IN_NUMERICS:
        return {}
    of = _distributions(tuple((folder, _changed(folder)) for folder in sys.path))
    versions = {}
    for name in sorted(packages - IN_NUMERICS):
        for distribution in of.get(name, ())[:1]:
            versions[name] = metadata.version(distribution)
    return versions


@lru_cache(maxsize=1)
def _distributions(places: tuple[tuple[str, int], ...]) -> Mapping[str, Sequence[str]]:
    """By imported name, what is installed in `places`, the folders of sys.path with the time of their last change.

    The metadata of all that is installed are read for it, which takes a tenth of a second.
    """
    return metadata.packages_distributions()


def _changed(folder: str) -> int:
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0
