"""What lies in a store: every result, unfinished and abandoned piece of work, with its size, age and owner."""

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.store import owners
from engine.store.files import read_json
from engine.store.objects import ARTEFACT, META, Store

Kind = Literal["result", "unfinished", "temporary", "damaged"]


@dataclass(frozen=True)
class Item:
    """One folder of a store.

    `key`: of a temporary one, only its beginning. `used`: when it was last written or taken up, seconds since 1970.
    `ours`: whether this user may remove it.
    """

    kind: Kind
    key: str
    path: Path
    size: int
    used: float
    ours: bool


def survey(store: Store) -> list[Item]:
    """Everything in the store; what this user can't look into has the size 0."""
    root = store.root
    results = [_item("result", path.name, path) for ab in _folders(root / "objects") for path in _folders(ab)]
    unfinished = [_item("unfinished", path.name, path) for path in _folders(root / "partial")]
    temporary = [_item("temporary", path.name.partition("-")[0], path) for path in _folders(root / "tmp")]
    damaged = [_item("damaged", path.name.partition("-")[0], path) for path in _folders(root / "damaged")]
    return [*results, *unfinished, *temporary, *damaged]


def taken_out(item: Item, store: Store) -> Path | None:
    """Move an item, whole and at once, to where nobody looks for it; None if it is gone, or another's to move.

    What is left there by a process that was killed counts as temporary.
    """
    place = store.root / "tmp" / f"{item.key[:16]}-{uuid.uuid4().hex[:12]}"
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        item.path.rename(place)
        return place
    return None


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.st_size for file in _stats(folder))


def last_use(folder: Path) -> float:
    """When a folder or a file in it was last written or taken up, seconds since 1970; 0 if it is gone."""
    return _latest(folder, _stats(folder))


def _latest(folder: Path, files: Iterable[os.stat_result]) -> float:
    used = max((file.st_mtime for file in files), default=0.0)
    with contextlib.suppress(OSError):
        used = max(used, folder.stat().st_mtime)
    return used


def parent(folder: Path) -> str:
    """The key of the result that the artefact in a folder was made from; empty of anything else."""
    meta = read_json(folder / META)
    if not isinstance(meta, dict) or meta.get("kind") != ARTEFACT:
        return ""
    material = meta.get("material")
    return str(material.get("parent", "")) if isinstance(material, dict) else ""


def _item(kind: Kind, key: str, path: Path) -> Item:
    stats = list(_stats(path))
    return Item(kind, key, path, sum(s.st_size for s in stats), _latest(path, stats), owners.ours(path))


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield (Path(where) / name).lstat()


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
