"""Images in folders named by their class, listed in the same order on every machine."""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
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
from engine.text.visible import visible

LOOKED_AT = 64
"""Files that are opened to see whether they hold more than an image."""
WITH_PAGES = (".gif", ".png", ".tif", ".tiff", ".webp")
OPAQUE = 255
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


def left_out(splits: Iterable[Files], fit: Fit) -> list[str]:
    """Notices of what files, of some looked at in each split, hold beside what is taken: several pictures (pages,
    frames), of which the first is, or transparency, which only four channels have.

    A JPEG that a camera wrote is no such file, though it holds a small picture beside its own.
    """
    notices: dict[str, str] = {}
    for files, number in _some(splits):
        place = files.place(number)
        if not place.lower().endswith(WITH_PAGES):
            continue
        with contextlib.suppress(*UNREADABLE):  # that is told where all images are read
            with cast(Image.Image, files.open(number)) as opened:
                pages = int(getattr(opened, "n_frames", 1))
                transparent = "transparent" not in notices and fit.channels != 4 and _is_seen_through(opened)
            if pages > 1:
                notices.setdefault(
                    "pages", f"{place} holds {pages} pictures: of such files the first is taken"
                )
            if transparent:
                notices["transparent"] = (
                    f"{place} is transparent in places: of such files the colours are taken that are stored there, "
                    "whatever a viewer shows behind it (data.channels: 4 takes transparency as the fourth channel)"
                )
    return list(notices.values())


def _some(splits: Iterable[Files]) -> Iterator[tuple[Files, int]]:
    """Of each split, files from its beginning to its end."""
    for files in splits:
        for number in range(0, len(files), max(1, len(files) // LOOKED_AT)):
            yield files, number


def _is_seen_through(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    lowest, _ = cast(tuple[int, int], image.convert("RGBA").getchannel("A").getextrema())
    return lowest < OPAQUE


def of_no_class(splits: Collection[Path]) -> list[str]:
    """A notice of images that lie beside the class folders, or beside the folders of splits, and so in none."""
    around = {folder.parent for folder in splits} if len(splits) > 1 else set()
    found = sorted(path for folder in around.union(splits) for path in _images(folder))
    if not found:
        return []
    if len(found) == 1:
        return [f"{found[0]} lies beside the folders of classes: it is of no class, and passed over"]
    many = f"{len(found):,} images lie beside the folders of classes, such as {found[0]}"
    return [f"{many}: they are of no class, and passed over"]


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if is_image(entry.name) and not passed_over(entry.name) and kind_of(entry) == "file"
        ]


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
                    f"{root / folder} holds no image",
                    "Every folder is a class.",
                    "Put images of that class there, or remove its folder from every split.",
                )

    paths = Paths(listed())
    if strangers:
        raise _no_images(strangers)
    if not classes:
        raise SecateurError(f"{root} holds no class folders", "Expected is a folder of images per class.")
    names = tuple(sorted(set(classes)))
    if odd := next((name for name in names if os.fsencode(name) != name.encode("utf-8", "replace")), None):
        raise SecateurError(
            f"The name of the class folder {visible(odd)} is no text",
            "It has bytes that are not UTF-8, as archives from other systems leave them.",
            "Rename the folder: classes are told by its name in results and exports.",
        )
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
        reason = _no_file(files[0])
        detail = f"It is {reason}." if reason else f"Images end in {allowed}."
        return SecateurError(f"{files[0]} is not an image", detail, "Move the file elsewhere.")
    listed = [
        f"  {file} ({reason})" if (reason := _no_file(file)) else f"  {file}" for file in files[:LISTED]
    ]
    more = [f"  and {len(files) - LISTED} more"] if len(files) > LISTED else []
    return SecateurError(
        f"{len(files)} files among the images are no images",
        "\n".join([*listed, *more]),
        f"Move them elsewhere. Images end in {allowed}.",
    )


def _no_file(path: str) -> str:
    """What is there in place of a file; "" for a file."""
    place = Path(path)
    if place.is_file():
        return ""
    return "a link to nothing, or to a folder around it" if place.is_symlink() else "a pipe or a device"
