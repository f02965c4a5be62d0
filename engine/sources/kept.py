"""A user's sources as a study keeps them: it goes on, and is replayed, with the code that it began with."""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from engine.sources.closure import closure, named_files
from engine.store.files import read_json
from engine.store.keys import content_hash, key

IN_NUMERICS = frozenset({"torch", "torchvision", "numpy", "sklearn", "torch_pruning"})
"""Packages whose versions are in every key already."""
OF_PLACES = re.compile(
    r"(CUDA|NVIDIA|HIP|ROCR|SLURM|SLURMD|PBS|LSB|SGE|OAR|PMI|PMIX|OMP|OMPI|MV2|MKL|KMP|GOMP|OPENBLAS|NCCL|GLOO|XDG|LC|SSH|CONDA"
    r"|TORCHELASTIC|WANDB|MLFLOW|SECATEUR)_[A-Z0-9_]*$|PYTHON[A-Z0-9]*$"
    r"|((LOCAL|NODE|GROUP)_)?RANK$|(LOCAL_)?WORLD_SIZE$|MASTER_(ADDR|PORT)$|[A-Z0-9_]+_(HOME|CACHE)$|(LD_LIBRARY_)?PATH$"
    r"|([A-Z0-9_]+_)?(JOB|RUN)_?ID$|(HOME|USER|LOGNAME|HOST|HOSTNAME|PWD|SHELL|TERM|LANG|DISPLAY|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV)$"
)
"""Variables that say where a process runs, and as whom; what is to be computed, others say."""
SECRETS = re.compile(
    r".*(SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(?<!CLS_)(?<!CLASS_)TOKEN|(API|ACCESS|AUTH|PRIVATE|SSH)_?KEY)(_ID)?$",
    re.IGNORECASE,
)
"""Variables that open doors: they do not decide what is behind them, and are not to lie in a study's folder."""


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
        variables: Environment variables that it asks for, with their values; None: not set.
    """

    folders: tuple[str, ...]
    modules: tuple[str, ...]
    others: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """All code of the user's that a study runs; `cwd` is the folder in which it was started.

    `given` are files that arguments of its networks name, by what is written there.
    """

    cwd: str
    programs: dict[str, Program] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_dict(content: dict[str, Any]) -> "Sources":
        programs = {
            file: Program(
                tuple(p["folders"]),
                tuple(p["modules"]),
                tuple(p["others"]),
                p["packages"],
                p.get("variables", {}),
            )
            for file, p in content["programs"].items()
        }
        files = {path: SourceFile(**file) for path, file in content["files"].items()}
        return Sources(content["cwd"], programs, files, content.get("given", {}))

    @property
    def variables(self) -> dict[str, str | None]:
        """Environment variables that the code asks for, as they were when the study began; None: not set."""
        return {name: value for p in self.programs.values() for name, value in p.variables.items()}

    def material(self, reference: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What of the code behind `reference`, called with `arguments`, decides a result: the hashes of its files and
        of those that arguments name, its packages' versions, and the environment variables that it asks for."""
        program = self.programs.get(file_of(reference))
        if program is None:
            return {}
        given = {self.given[text] for text in texts_in(arguments) if text in self.given}
        names = sorted({*program.modules, *program.others, *given})
        decides = {
            "model_files": {name: self.files[name].digest for name in names},
            "model_packages": {n: v for n, v in program.packages.items() if n not in IN_NUMERICS},
            "model_variables": {n: v for n, v in sorted(program.variables.items()) if v is not None},
        }
        return {name: value for name, value in decides.items() if value or name == "model_files"}

    def identity(self, reference: str) -> str:
        """Tells programs apart, 12 hexadecimal digits."""
        return key({"file": file_of(reference), **self.material(reference)})[:12]

    def changed(self) -> list[str]:
        """Files that are not as they were, or not there any more; absolute, in order."""
        return [path for path, file in sorted(self.files.items()) if _digest(Path(path)) != file.digest]


def collect(named: Iterable[str], cwd: Path, arguments: Iterable[str] = ()) -> Sources:
    """The sources behind references such as `path/net.py:build`, as they are now, and files that `arguments` name.

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
            _asked(reached.variables),
        )
    given = {text: str(file) for text in arguments for file in named_files([text], [cwd])} if programs else {}
    files |= {
        name: SourceFile(d) for name in given.values() if name not in files and (d := _digest(Path(name)))
    }
    return Sources(str(cwd), programs, files, {text: name for text, name in given.items() if name in files})


def decides(variable: str) -> bool:
    """Whether an environment variable says what is computed, and not where it is, nor opens a door."""
    return not OF_PLACES.match(variable) and not SECRETS.match(variable)


def _asked(names: Iterable[str]) -> dict[str, str | None]:
    """The values of those variables that decide what is computed. Raises UsageError for one that is no text."""
    asked = {n: os.environ.get(n) for n in sorted(names) if decides(n)}
    for name, value in asked.items():
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"The environment variable {name} is no text in UTF-8",
                "Your own code asks for it, so its value is kept with the study.",
                f"Set it anew, or unset it: unset {name}.",
            ) from error
    return asked


def references(trials: Iterable[tuple[Settings, Iterable[Step]]]) -> tuple[list[str], list[str]]:
    """Every function of the user's own that trials name, for models, data and teachers; and the texts among the
    arguments that those for models and teachers get."""
    named: dict[str, None] = {}
    texts: dict[str, None] = {}
    for settings, steps in trials:
        models = [settings.model, *own_teachers(steps)]
        names = [settings.data.name, *(model.name for model in models)]
        named |= {name: None for name in names if own_code(name)}
        texts |= {text: None for model in models for text in texts_in(model.arguments)}
    return list(named), list(texts)


def texts_in(value: Any) -> Iterator[str]:
    """The texts in plain values, however deep.

    >>> list(texts_in({"a": ["x", {"b": "y"}], "c": 3}))
    ['x', 'y']
    """
    match value:
        case str():
            yield value
        case Mapping():
            yield from (text for inner in value.values() for text in texts_in(inner))
        case list() | tuple():
            yield from (text for inner in value for text in texts_in(inner))


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
