"""Images in folders named by their class, listed in the same order on every machine."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor

from engine.compute.data.images import UNREADABLE, Decoded, Files
from engine.compute.data.paths import Paths
from engine.compute.data.pixels import Fit
from engine.datasets.layout import IMAGE_SUFFIXES, is_image, kind_of, passed_over
from engine.datasets.records import Layout
from engine.errors import SecateurError

LOOKED_AT = 64
"""Files that are opened to see whether they hold several pictures."""
WITH_PAGES = (".gif", ".png", ".tif", ".tiff", ".webp")
LISTED = 12
"""How many files that are no images an error names."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder: their paths, the names of their classes, sorted, and the class of each, int64 (N,)."""

    paths: Paths
    names: tuple[str, ...]
    classes: Tensor


def in_colour(files: Files) -> bool:
    """Whether the first image that can be read is stored in colours."""
    images = Decoded(files, Fit())
    for number in range(len(files)):
        (image,) = images.attempt([number])
        if isinstance(image, Tensor):
            return image.shape[0] == 3
    return False


def several_pictures(files: Files) -> Iterator[str]:
    """A notice if a file, of some looked at, holds several pictures (pages, frames), of which the first is the image.

    A JPEG that a camera wrote is no such file, though it holds a small picture beside its own.
    """
    for number in range(0, len(files), max(1, len(files) // LOOKED_AT)):
        if not files.place(number).lower().endswith(WITH_PAGES):
            continue
        with contextlib.suppress(*UNREADABLE):  # that is told where all images are read
            with cast(Image.Image, files.open(number)) as opened:
                pages = int(getattr(opened, "n_frames", 1))
            if pages > 1:
                yield f"{files.place(number)} holds {pages} pictures: of such files the first is taken"
                return


def list_classes(
    root: Path, layout: Layout, suffixes: tuple[str, ...] | None, without: tuple[str, ...] = ()
) -> Listing:
    """The images below `root`, in the order of their paths.

    `suffixes` are those of the images, other files being passed over; None is for a user's own folder, where
    a file that is no image is an error. `without` are class folders to leave out.

    Raises SecateurError when there is no class folder, a class without images, or files that are no images.
    """
    classes: list[str] = []
    strangers: list[str] = []

    def listed() -> Iterator[str]:
        for folder in _folders(root):
            before = len(classes)
            for path, plain in [] if folder in without else _files(root / folder, layout, suffixes):
                if suffixes is None and not (plain and is_image(path)):
                    strangers.append(path)
                    continue
                classes.append(_class_of(path, folder, root, layout))
                yield path
            if len(classes) == before and folder not in without and not strangers:
                raise SecateurError(
                    f"{root / folder} holds no image", "Every folder is a class.", "Remove the folder."
                )

    paths = Paths(listed())
    if strangers:
        raise _no_images(strangers)
    if not classes:
        raise SecateurError(f"{root} holds no class folders", "Expected is a folder of images per class.")
    names = tuple(sorted(set(classes)))
    numbers = {name: number for number, name in enumerate(names)}
    return Listing(paths, names, torch.tensor([numbers[name] for name in classes]))


def _class_of(path: str, folder: str, root: Path, layout: Layout) -> str:
    return Path(path).parent.relative_to(root).as_posix() if layout == "leaf" else folder


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(
            entry.name for entry in entries if not passed_over(entry.name) and kind_of(entry) == "folder"
        )


def _files(folder: Path, layout: Layout, suffixes: tuple[str, ...] | None) -> Iterator[tuple[str, bool]]:
    """The paths below a folder, and whether each is a plain file."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if passed_over(entry.name):
            continue
        kind = kind_of(entry)
        if kind == "folder":
            if layout != "flat":
                yield from _files(Path(entry.path), layout, suffixes)
        elif suffixes is None or (kind == "file" and entry.name.lower().endswith(suffixes)):
            yield entry.path, kind == "file"


def _no_images(files: list[str]) -> SecateurError:
    allowed = ", ".join(sorted(IMAGE_SUFFIXES))
    if len(files) == 1:
        return SecateurError(
            f"{files[0]} is not an image", f"Images end in {allowed}.", "Move the file elsewhere."
        )
    more = [f"  and {len(files) - LISTED} more"] if len(files) > LISTED else []
    return SecateurError(
        "A file among the images is none"
        if len(files) == 1
        else f"{len(files)} files among the images are none",
        "\n".join([*(f"  {file}" for file in files[:LISTED]), *more]),
        f"Move them elsewhere. Images end in {allowed}.",
    )
