"""What lies in a store: every result, unfinished and abandoned piece of work, with its size, age and owner."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.store import owners
from engine.store.objects import Store

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
    return sum(found.st_size for found in _stats(folder))


def _item(kind: Kind, key: str, path: Path) -> Item:
    stats = list(_stats(path))
    used = max((found.st_mtime for found in stats), default=0.0)
    with contextlib.suppress(OSError):
        used = max(used, path.stat().st_mtime)
    return Item(kind, key, path, sum(found.st_size for found in stats), used, owners.ours(path))


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
