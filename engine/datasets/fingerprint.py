"""What identifies the tensors a data set gives: its files, the parameters that change them, and our code."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.datasets import yolofiles
from engine.datasets.layout import kind_of, passed_over
from engine.datasets.locate import Location, published, stored
from engine.datasets.preprocess import changed, resolve
from engine.datasets.records import OwnBoxes, Record
from engine.errors import SecateurError
from engine.params.preset import Data
from engine.store.files import read_mapping, remember
from engine.store.keys import file_hash

LOADER_VERSION = 1
"""Raised when the code in engine/compute/data gives other tensors for the same files."""
DECODED_VERSION = 2
"""The same of sets whose images are files of their own, which are decoded and turned upright."""

CONTENT_LIMIT = 16 * 10**9
"""Bytes up to which contents are hashed. Reading ImageNet or iNaturalist whole would take hours on a network
file system: above it, names and sizes stand for the contents."""

WORTH_CACHING = 1 << 20
"""Bytes of a set below which hashing it is as fast as reading the cache."""


@dataclass(frozen=True)
class RawFile:
    """A file of a set: its name in the fingerprint, where it lies, and what tells that it changed."""

    name: str
    path: Path
    size: int
    mtime_ns: int


def fingerprint(params: Data, location: Location, cache: Path | None) -> str | None:
    """The SHA-256 that identifies the tensors of a set, or None for a user's function.

    It covers the name and content of every raw file, the parameters that change the tensors (see
    `effective`) and `LOADER_VERSION`; not the place where the files lie. `cache` is a folder that keeps the
    hashes of file contents by path, size and modification time; it need not exist or be writable.
    """
    if location.record is None:
        return None
    files = list(raw_files(location))
    has_validation, has_test = native_splits(location)
    record = location.record
    material = {
        "loader": LOADER_VERSION if record.source.arrays else DECODED_VERSION,
        "set": record.name,
        "parameters": effective(params, record, has_validation, has_test),
        "files": _contents(files, location.root, cache),
    }
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


def effective(params: Data, record: Record | None, has_validation: bool, has_test: bool) -> dict[str, object]:
    """The parameters that change the tensors: those that have no effect on this set are left out."""
    size = resolve(params).size
    square = size[0] if size is not None and size[0] == size[1] else size
    chosen: dict[str, object] = {"limit": params.limit}
    chosen["size"] = None if record and square == record.size else square
    chosen["channels"] = None if record and params.channels == record.channels else params.channels
    chosen |= changed(params, record.task if record else "classification")  # users' functions give no boxes
    others = {"limit_validation": params.limit_validation, "limit_test": params.limit_test}
    chosen |= {name: limit for name, limit in others.items() if limit is not None}
    if params.skip_damaged:
        chosen["skip_damaged"] = True
    if not has_validation:
        chosen["validation"] = params.validation
    if not has_test:
        chosen["test"] = params.test
    limited = any(limit is not None for limit in (params.limit, *others.values()))
    if not (has_validation and has_test) or limited:
        chosen["split_seed"] = params.split_seed
    return chosen


def native_splits(location: Location) -> tuple[bool, bool]:
    """Whether the set brings its own validation split, and its own test split, so that none is drawn."""
    if location.record and location.record.source.own:
        splits = location.record.source.brought(location.root)
        return "validation" in splits, "test" in splits
    counts = published(location.record)
    return counts.validation > 0, counts.test > 0


def raw_files(location: Location) -> Iterator[RawFile]:
    """The files that the tensors depend on, in the order of their names without what `passed_over` leaves out."""
    record = location.record
    if record and isinstance(record.source, OwnBoxes):
        return _listed_files(location.root)
    names = record.files if record and record.files else ("",)
    packed = record is not None and record.source.packed
    files: list[RawFile] = []
    for name in names:
        path = stored(location.root / name, packed)
        if path.is_dir():
            files += _files_below(path, name)
        else:
            files.append(_raw(name + path.name[len(Path(name).name) :], path, path.stat()))
    return iter(sorted(files, key=lambda file: file.name))


def _listed_files(file: Path) -> Iterator[RawFile]:
    """A data.yaml, its images and labels, named from where the file lies."""
    for path in yolofiles.read(file).files():
        yield _raw(os.path.relpath(path, file.parent), path, path.stat())


def _files_below(folder: Path, name: str) -> Iterator[RawFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            inner = f"{name}/{entry.name}" if name else entry.name
            if passed_over(entry.name):
                continue
            kind = kind_of(entry)
            if kind == "folder":
                yield from _files_below(Path(entry.path), inner)
            elif kind == "file" or not entry.is_symlink():
                # Links that lead nowhere are told when the images are listed.
                yield _raw(inner, Path(entry.path), entry.stat())


def _raw(name: str, path: Path, status: os.stat_result) -> RawFile:
    """Raises SecateurError for what is no ordinary file: reading a pipe waits for ever."""
    if not stat.S_ISREG(status.st_mode):
        raise SecateurError(
            f"{path} is no ordinary file",
            "It is a pipe, a device or a socket, and lies among the data.",
            "Remove it, or name another folder.",
        )
    return RawFile(name, path, status.st_size, status.st_mtime_ns)


def _contents(files: list[RawFile], root: Path, cache: Path | None) -> list[tuple[str, str]]:
    total = sum(file.size for file in files)
    if total > CONTENT_LIMIT:
        return [(file.name, f"{file.size} bytes") for file in files]
    if cache is None or total < WORTH_CACHING:
        return [(file.name, file_hash(file.path)) for file in files]
    return _cached_contents(
        files, cache / f"{hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:32]}.json"
    )


def _cached_contents(files: list[RawFile], memory: Path) -> list[tuple[str, str]]:
    known: dict[str, str] = read_mapping(memory)
    # A file may be listed twice: images of one name and two endings share their labels.
    keys = [f"{file.path.absolute()}|{file.size}|{file.mtime_ns}" for file in files]
    hashes: dict[str, str] = {}
    for key, file in zip(keys, files, strict=True):
        hashes[key] = hashes.get(key) or known.get(key) or file_hash(file.path)
    if hashes.keys() - known.keys():
        # What a file held before is not kept: a set that is copied anew again and again would fill the memory.
        paths = {_path(key) for key in hashes}
        others = {key: value for key, value in known.items() if _path(key) not in paths}
        remember(memory, others | hashes)
    return [(file.name, hashes[key]) for key, file in zip(keys, files, strict=True)]


def _path(key: str) -> str:
    """The file's path in the key of its hash, before its size and time."""
    return key.rsplit("|", 2)[0]
