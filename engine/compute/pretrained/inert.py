"""Read torch.save's files without running anything: whatever is no tensor or plain value becomes inert.

torch's own restricted unpickler does the reading (`weights_only=True`). Classes and functions that it does not know are
given to it as stand-ins that keep the state they are handed and do nothing else.
"""

import _compat_pickle
import contextlib
import io
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from engine.compute.pretrained.files import SAVE, Kind, refused
from engine.errors import SecateurError

UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
    MemoryError,
    ArithmeticError,
)
"""What readers of foreign bytes raise, depending on the bytes."""
PARTS = 5
"""Pickles at the head of a file older than torch 1.6: magic number, version, system, the object, its keys."""
WITH_CLASSES = "Only persistent_load of storage is allowed"
"""What torch says of a whole model in a file of before torch 1.6: the source of its classes is in it."""
DICTIONARIES = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "easydict.EasyDict",
)
"""Kinds of dictionary, which are filled item by item: plain ones stand for them."""
KNOWN = re.compile(
    r"torch\.\w+|torch\._utils\..*|torch\.storage\..*|torch\._tensor\..*|torch\.nn\.parameter\.Parameter"
    r"|torch\.serialization\._get_layout|collections\.(OrderedDict|Counter)|_codecs\.encode"
    r"|builtins\.(bytearray|set|complex)"
)
"""What files of tensors name; torch itself decides which of these it loads."""


class Inert:
    """Stands for an object of a class that is not loaded: keeps what it is given, does nothing."""

    path = ""
    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def is_module(self) -> bool:
        """Whether this was a torch.nn.Module."""
        return isinstance(self.state, dict) and "_modules" in self.state and "_parameters" in self.state


@dataclass(frozen=True)
class Content:
    """What a file holds, and the names of the classes and functions that were not loaded for it."""

    value: Any
    foreign: tuple[str, ...] = ()


def read(path: Path, kind: Kind) -> Content:
    """The content of a file of torch.save, everything in it but tensors and plain values inert.

    Raises SecateurError for a file that is damaged, or that is refused even so.
    """
    try:
        with _quiet(), path.open("rb") as file:
            return Content(torch.load(file, map_location="cpu", weights_only=True))
    except UNREADABLE as first:
        foreign = _foreign(path, kind)
        if not foreign:
            raise _unreadable(path, first) from first
    stand_ins: list[Any] = [(_stand_in(name), name) for name in foreign]
    try:
        with _quiet(), torch.serialization.safe_globals(stand_ins), path.open("rb") as file:
            return Content(torch.load(file, map_location="cpu", weights_only=True), foreign)
    except UNREADABLE as error:
        if WITH_CLASSES in str(error):
            return Content(_whole(foreign[0]), foreign)
        raise _unreadable(path, error, foreign) from error


def _whole(name: str) -> Inert:
    """Stands for a model that can't be looked into."""
    model = Inert()
    model.path = name
    model.state = {"_modules": {}, "_parameters": {}}
    return model


def _stand_in(name: str) -> Callable[..., Any]:
    if name in DICTIONARIES:
        return lambda *_: {}
    return type("Inert", (Inert,), {"path": name})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings: what they say of a file is in the error that follows, or harmless."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unreadable(path: Path, error: Exception, foreign: tuple[str, ...] = ()) -> SecateurError:
    text = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
    reason = (text.strip() or "no reason given").splitlines()[0]
    if foreign:
        what = f"holds {', '.join(foreign[:3])}, which is never loaded, in a way that can't be left out"
        return refused(path, f"{what} ({reason[:120]})", SAVE)
    return refused(
        path,
        f"is damaged, or not of torch.save: {type(error).__name__}: {reason[:160]}",
        f"Copy it again. {SAVE}",
    )


def today(module: str, name: str) -> tuple[str, str]:
    """What Python 3 calls a class that a pickle of protocol 2 names as Python 2 did."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _foreign(path: Path, kind: Kind) -> tuple[str, ...]:
    """Classes and functions that the file names and that torch does not load by itself, in order."""
    names: dict[str, None] = {}
    try:
        for name in _names(path, kind):
            if not KNOWN.fullmatch(name):
                names.setdefault(name)
    except UNREADABLE:
        return tuple(names)
    return tuple(names)


def _names(path: Path, kind: Kind) -> Iterator[str]:
    if kind == "zip":
        with zipfile.ZipFile(path) as archive:
            inside = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            content = archive.read(inside)
            yield from _globals(_Bounded(io.BytesIO(content), len(content)))
        return
    with path.open("rb") as file:
        bounded = _Bounded(file, path.stat().st_size)
        for _ in range(PARTS):
            yield from _globals(bounded)


class _Bounded:
    """A file of which no more can be asked for than it has: a pickle may say that 2⁴⁰ bytes follow."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes:
        if count > self._size:
            raise EOFError(f"{count} bytes are said to follow, {self._size} are there")
        return self._file.read(count)


def _globals(file: Any) -> Iterator[str]:
    """The globals of one pickle, in its opcodes: nothing is executed."""
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield ".".join(today(*str(argument).split(" ", 1)))
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts = [*texts[-1:], argument]
