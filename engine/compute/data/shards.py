"""Images inside tar files: found once, then read one by one, in any order, without unpacking anything.

A shard's list of members is a walk through the whole file; it is kept in a folder of the workspace, by the file's path,
size and time.
"""

import contextlib
import hashlib
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.lib.format import MAGIC_PREFIX
from PIL import Image
from torch import Tensor

from engine.compute.data.opening import array_in, image_in, unpacked_bytes
from engine.compute.data.pixels import Array
from engine.compute.data.source import check_numbers
from engine.datasets.layout import is_image, passed_over
from engine.errors import SecateurError

BLOCK = 512
"""Bytes of a member's header, which lies before its content."""
END = 2 * BLOCK
"""Zeros at the end of every tar file."""
NAME = 100
"""Bytes of the name in it."""
LABEL = ".cls"
DESCRIPTION = ".json"
KEYS = ("cls", "label", "class")
"""Where a description may have the class."""
INDEX_VERSION = 2
"""Raised when other members are taken: kept indices are made anew."""
UNUSED_S = 90 * 86_400.0
"""Age from which on an index that nobody has used goes: walking through the shard again takes minutes at most."""
LISTED = 5
LONGEST_LABEL = 1 << 20
"""Bytes of a class or a description; a tar file can claim zeros that it does not hold."""


@dataclass(frozen=True)
class Index:
    """The images of one shard: where their bytes lie, int64 (N, 2) of offset and length, and each label as text."""

    places: Array
    labels: tuple[str, ...]


class Members:
    """The images of shards, by number; it holds 24 bytes for each."""

    def __init__(self, shards: Sequence[Path], indexes: Sequence[Index]) -> None:
        self._shards = [str(path) for path in shards]
        self._ends = np.cumsum([len(index.labels) for index in indexes], dtype=np.int64)
        self._places = np.concatenate([index.places for index in indexes])

    def __len__(self) -> int:
        return len(self._places)

    def open(self, number: int) -> Image.Image | Array:
        offset, length = (int(value) for value in self._places[number])
        with open(self._shard(number), "rb") as file:  # noqa: PTH123 - called for every image
            file.seek(offset)
            content = file.read(length)
        # Not by the name: of a long one the header has the beginning alone.
        return array_in(content) if content.startswith(MAGIC_PREFIX) else image_in(content)

    def place(self, number: int) -> str:
        """The shard, and the name of the image in it."""
        shard, offset = self._shard(number), int(self._places[number][0])
        with open(shard, "rb") as file:  # noqa: PTH123 - beside `open`
            file.seek(offset - BLOCK)
            name = file.read(NAME).split(b"\0")[0]
        return f"{shard}:{os.fsdecode(name)}"

    def _shard(self, number: int) -> str:
        return self._shards[int(np.searchsorted(self._ends, number, side="right"))]


def read_shards(shards: Sequence[Path], cache: Path | None) -> list[Index]:
    """The images and labels in each.

    Raises SecateurError that names every shard that can't be read, or lacks labels.
    """
    indexes: list[Index] = []
    wrong: list[str] = []
    for shard in shards:
        try:
            indexes.append(_index(shard, cache))
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            wrong.append(f"{shard}: {error}")
    if wrong:
        more = [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
        raise SecateurError(
            f"{len(wrong)} of {len(shards)} shards can't be read" if len(wrong) > 1 else f"{wrong[0]}",
            "\n".join(f"  {line}" for line in [*wrong[:LISTED], *more]) if len(wrong) > 1 else "",
            "Copy them anew; each image needs a class beside it: 0001.jpg, 0001.cls.",
        )
    return indexes


def labels_of(indexes: Sequence[Index], names: tuple[str, ...]) -> tuple[tuple[str, ...], Tensor]:
    """The names of the classes, and each image's class, int64 (N,).

    Labels are numbers from 0, or names; `names` are those of the numbers, or of all classes, where they are known.
    Raises SecateurError for labels that are none of them.
    """
    texts = [text for index in indexes for text in index.labels]
    # A negative number that is listed as a class is a name.
    named = set(texts) <= set(names) and any(name.startswith("-") for name in names)
    if not named and all(text.removeprefix("-").isdecimal() for text in set(texts)):
        highest, lowest = max(map(int, set(texts))), min(map(int, set(texts)))
        if lowest < 0:
            raise SecateurError(
                "Labels of the shards are out of range",
                f"Some are {lowest}; 0 is the first class.",
                "Leave out images that have no class, or list the classes in classes.txt.",
            )
        if set(texts) <= set(names) and any(
            names[int(text) : int(text) + 1] != (text,) for text in set(texts)
        ):
            raise SecateurError(
                "Labels of the shards can be read in two ways",
                f"{max(set(texts), key=int)} is the name of a class in classes.txt, and the place of another one.",
                "Write names into classes.txt that are no numbers.",
            )
        if not names:
            check_numbers(highest, len(texts), "the shards")
        names = names or tuple(str(number) for number in range(highest + 1))
        if highest >= len(names):
            raise SecateurError(
                "Labels of the shards are out of range",
                f"They go to {highest}; 0 to {len(names) - 1} for {len(names)} classes.",
                "Correct classes.txt.",
            )
        return names, torch.tensor([int(text) for text in texts])
    names = names or tuple(sorted(set(texts)))
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise SecateurError(
            "Some images have classes that the training images lack",
            f"Only there: {', '.join(unknown[:LISTED])}.",
            "Name the classes alike in all splits, or list them in classes.txt beside the shards.",
        )
    numbers = {name: number for number, name in enumerate(names)}
    return names, torch.tensor([numbers[text] for text in texts])


def _index(shard: Path, cache: Path | None) -> Index:
    stat = shard.stat()
    identity = f"{INDEX_VERSION}|{shard.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
    memory = None if cache is None else cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"
    if memory is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            if unpacked_bytes(memory) <= memory.stat().st_size:  # as it was written: not compressed
                with np.load(memory) as kept:
                    index = Index(kept["places"], tuple(kept["labels"].tolist()))
                with contextlib.suppress(PermissionError):  # a colleague's
                    os.utime(memory)
                return index
    index = _walk(shard)
    if memory is not None:
        partial = memory.with_name(f".{memory.name}.{os.getpid()}.npz")
        with contextlib.suppress(OSError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            np.savez(partial, places=index.places, labels=np.array(index.labels, dtype=np.str_))
            partial.replace(memory)
            _forget(memory.parent)
    return index


def _forget(cache: Path) -> None:
    """Remove our own indices that nobody has used for long: of shards that are gone, or were written anew."""
    for file in cache.glob("*.npz"):
        with contextlib.suppress(OSError):
            info = file.stat()
            if info.st_uid == os.geteuid() and time.time() - info.st_mtime > UNUSED_S:
                file.unlink()


def _walk(shard: Path) -> Index:
    with shard.open("rb") as file:
        file.seek(max(0, shard.stat().st_size - END))
        if file.read() != bytes(END):  # tarfile takes a file that was cut off between two members
            raise ValueError("it was cut short: the mark at a tar file's end is missing")
    places: list[tuple[int, int]] = []
    labels: list[str] = []
    with tarfile.open(shard, "r:") as archive:
        for key, members in _samples(archive):
            image = _image(members, key)
            if image is None:
                continue
            places.append((image.offset_data, image.size))
            labels.append(_label(archive, members, key))
    if not places:
        raise ValueError("there is no image in it")
    return Index(np.array(places, np.int64), tuple(labels))


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """The files of one name but for what follows its first dot, by that; they lie one after the other."""
    before = ""
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        path = PurePosixPath(member.name)
        if not member.isfile() or passed_over(path.name):
            continue
        stem, _, suffix = path.name.partition(".")
        key = str(path.with_name(stem))
        if key != before:
            if members:
                yield before, members
            before, members = key, {}
        members[f"x.{suffix.lower()}"] = member
    if members:
        yield before, members


def _image(members: dict[str, tarfile.TarInfo], key: str) -> tarfile.TarInfo | None:
    """The one image among the files of a name: `jpg` before `mask.png` and before arrays (`npy`).

    Raises ValueError where there is more than one that might be meant.
    """
    images = [suffix for suffix in members if is_image(suffix)]
    for meant in ([s for s in images if s.count(".") == 1 and not s.endswith(".npy")], images):
        if len(meant) == 1:
            return members[meant[0]]
        if meant:
            told = ", ".join(sorted(suffix.removeprefix("x.") for suffix in meant))
            raise ValueError(f"{key} has several images: {told}; which one is meant can't be told")
    return None


def _label(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], key: str) -> str:
    for suffix in (LABEL, DESCRIPTION):
        file = archive.extractfile(members[f"x{suffix}"]) if f"x{suffix}" in members else None
        if file is None:
            continue
        text = file.read(LONGEST_LABEL).decode("utf-8-sig").strip()
        if suffix == DESCRIPTION:
            text = _described(json.loads(text), key)
        if text:
            return text
    raise ValueError(f"image {key} has no class beside it (.cls, or .json with a label)")


def _described(description: object, key: str) -> str:
    """The class that a description has, "" for none; ValueError for what is no name and no number of a class."""
    held = description if isinstance(description, dict) else {}
    label = next((held[name] for name in KEYS if name in held), "")
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise ValueError(f"the class of image {key} is {json.dumps(label)}, not a name or a whole number")
    return str(label)
