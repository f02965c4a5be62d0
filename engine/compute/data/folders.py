"""Images in folders named by their class, listed in the same order on every machine."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from engine.compute.data.images import Decoded
from engine.datasets.records import Layout
from engine.errors import SecateurError

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""Files that are taken for images among a user's own."""

NOT_MEANT = frozenset(("Thumbs.db", "desktop.ini"))
"""Files that file managers leave behind; hidden files are passed over too."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder: their paths, and the class name of each."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]

    def grey_first(self) -> bool:
        """Whether the first image is stored without colours."""
        first = torch.zeros(1, dtype=torch.int64)
        return self.images(None, None).gather(first).shape[1] == 1

    def images(self, size: int | None, channels: int | None) -> Decoded:
        paths = self.paths
        return Decoded(
            len(paths), lambda number: Image.open(paths[number]), paths.__getitem__, size, channels
        )


def list_classes(
    root: Path, layout: Layout, suffixes: tuple[str, ...] | None, without: tuple[str, ...] = ()
) -> Listing:
    """The images below `root`, in the order of their paths.

    `suffixes` are those of the images, other files being passed over; None is for a user's own folder, where
    a file that is no image is an error. `without` are class folders to leave out.

    Raises SecateurError when there is no class folder, a class without images, or a file that is no image.
    """
    found: list[tuple[str, str]] = []
    folders = [name for name in _folders(root) if name not in without]
    for folder in folders:
        before = len(found)
        found += [
            (path, _class_of(path, folder, root, layout)) for path in _files(root / folder, layout, suffixes)
        ]
        if len(found) == before:
            raise SecateurError(
                f"{root / folder} holds no image", "Every folder is a class.", "Remove the folder."
            )
    if not found:
        raise SecateurError(f"{root} holds no class folders", "Expected is a folder of images per class.")
    return Listing(tuple(path for path, _ in found), tuple(name for _, name in found))


def _class_of(path: str, folder: str, root: Path, layout: Layout) -> str:
    return Path(path).parent.relative_to(root).as_posix() if layout == "leaf" else folder


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, layout: Layout, suffixes: tuple[str, ...] | None) -> Iterator[str]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(".") or entry.name in NOT_MEANT:
            continue
        if entry.is_dir():
            if layout != "flat":
                yield from _files(Path(entry.path), layout, suffixes)
        elif suffixes is None or entry.name.lower().endswith(suffixes):
            yield _image(entry.path) if suffixes is None else entry.path


def _image(path: str) -> str:
    if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
        allowed = ", ".join(sorted(IMAGE_SUFFIXES))
        raise SecateurError(
            f"{path} is not an image", f"Images end in {allowed}.", "Move the file elsewhere."
        )
    return path
