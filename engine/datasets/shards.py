"""WebDataset shards: tar files of images with labels, and the split that each is of. No torch, no numpy."""

import os
from pathlib import Path

from engine.datasets.layout import kind_of, passed_over, split_of
from engine.errors import SecateurError

EXPECTED = (
    "Expected are tar files whose names or folders say train, validation or test (such as train-000000.tar), or "
    "none of them; in each, an image and its class: 0001.jpg, 0001.cls."
)
PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
NAMES = "classes.txt"
"""Beside the shards: the names of the classes, one a line."""


def own_shards(root: Path) -> dict[str, tuple[Path, ...]]:
    """The shards of each split, sorted; of a set without splits, `train` alone.

    Raises SecateurError where there are none, or where some are of a split and some of none.
    """
    files = sorted(_below(root))
    packed = [path for path in files if path.name.lower().endswith(PACKED)]
    if packed:
        raise _unclear(
            root, f"{packed[0].name} is compressed: images inside it can't be read one by one. Unpack it."
        )
    shards = [path for path in files if path.suffix.lower() == ".tar"]
    splits: dict[str | None, list[Path]] = {}
    for path in shards:
        splits.setdefault(_split(path.relative_to(root)), []).append(path)
    if not shards:
        raise _unclear(root, "There are no tar files in it.")
    unnamed = splits.pop(None, [])
    if unnamed and splits:
        raise _unclear(
            root, f"{unnamed[0].name} is of no split, and {len(shards) - len(unnamed)} others are."
        )
    if splits and "train" not in splits:
        raise _unclear(
            root, f"There are shards for {', '.join(sorted(filter(None, splits)))}, and none for train."
        )
    named = {split: tuple(paths) for split, paths in splits.items() if split is not None}
    return named or {"train": tuple(unnamed)}


def class_names(root: Path) -> tuple[str, ...]:
    """The names in NAMES; none where there is no such file."""
    try:
        return tuple(
            line.strip() for line in (root / NAMES).read_text("utf-8-sig").splitlines() if line.strip()
        )
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SecateurError(f"{root / NAMES} can't be read", str(error), "Correct or remove it.") from error


def _below(folder: Path) -> list[Path]:
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if passed_over(entry.name):
                continue
            kind = kind_of(entry)
            if kind == "folder":
                files += _below(Path(entry.path))
            elif kind == "file" and entry.name.lower().endswith((".tar", *PACKED)):
                files.append(Path(entry.path))
    return files


def _split(path: Path) -> str | None:
    """Of the file's own name, else of the folder nearest to it that says so."""
    return next(
        (split for part in (path.stem, *reversed(path.parts[:-1])) if (split := split_of(part))), None
    )


def _unclear(root: Path, detail: str) -> SecateurError:
    return SecateurError(f"The shards in {root} can't be used", detail, EXPECTED)
