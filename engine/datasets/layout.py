"""How a user's own image folders are laid out: which folders are splits, which are classes. No torch, no numpy.

Whatever leaves room for two readings is refused: a split taken for a class gives a study that looks right.
"""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from engine.errors import SecateurError

IMAGE_SUFFIXES = frozenset(
    (
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".npy",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""Files that are taken for images among a user's own."""

SPLIT_NAMES: dict[str, frozenset[str]] = {
    "train": frozenset(("train", "training", "trn")),
    "validation": frozenset(("validation", "validate", "val", "valid", "dev")),
    "test": frozenset(("test", "testing", "tst")),
}
"""What split folders are called, in whatever case; also as a part of a name, such as `seg_train`."""

IMAGES = frozenset(("image", "images", "img", "imgs", "jpegimages", "photos"))
BESIDE_IMAGES = frozenset(
    (
        "annotation",
        "annotations",
        "gt",
        "groundtruth",
        "label",
        "labels",
        "mask",
        "masks",
        "segmentationclass",
        "targets",
    )
)
"""What folders are called that hold something of each image in a folder of `IMAGES`, such as a mask: no classes."""

LEFT_BEHIND = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "icon\r")
)
"""Files and folders that systems leave behind, in lower case; hidden ones (`._a.jpg`, `.ipynb_checkpoints`) go too."""

EXPECTED = (
    "Expected are train/CLASS/ with validation/CLASS/ and test/CLASS/ (or one of the two), or CLASS/ alone."
)
DEEPEST = 3
"""Folders within each other, each alone in the one above, that an archive may have put around a set."""


@dataclass(frozen=True)
class Level:
    """What a folder holds: folders by name, and whether images lie in it directly."""

    folders: tuple[str, ...]
    images: bool


EMPTY = Level((), False)


def passed_over(name: str) -> bool:
    """Whether a file or folder of this name is no part of any set.

    >>> passed_over("._a.jpg"), passed_over("Thumbs.db"), passed_over("a.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def kind_of(entry: "os.DirEntry[str]") -> Literal["folder", "file", ""]:
    """Whether an entry is a folder to go into or a file to read.

    Neither are pipes and devices, links to nothing, and links to a folder that they lie in.
    """
    try:
        if entry.is_dir():
            return "" if entry.is_symlink() and _holds(entry.path) else "folder"
        return "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _holds(link: str) -> bool:
    """Whether a link leads to a folder that it lies in itself."""
    target, own = os.path.realpath(link), os.path.realpath(os.path.dirname(link))  # noqa: PTH120 - beside realpath
    return f"{own}/".startswith(f"{target}/")


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - called for every file of a set


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for.

    >>> split_of("Training"), split_of("seg_test"), split_of("cat")
    ('train', 'test', None)
    """
    words = name.lower().replace("-", "_").replace(" ", "_").split("_")
    splits = {split for split, names in SPLIT_NAMES.items() for word in words if word in names}
    return splits.pop() if len(splits) == 1 else None


def own_splits(root: Path) -> dict[str, Path]:
    """The folder of each split of a user's set, which holds the class folders; of a set without splits, `train` alone.

    Folders that an archive put around it are gone into. Raises SecateurError, naming what is expected, where the
    folders can't be told to be classes or splits.
    """
    root = _unwrapped(root)
    level = _look(root)
    if not level.folders:
        raise _unclear(root, "It holds no folders of classes.")
    named = {name: split for name in level.folders if (split := split_of(name))}
    filled = {name: inner for name in named if (inner := _look(root / name)) != EMPTY}
    splits = {name: named[name] for name in filled}
    exact = {split for name, split in splits.items() if name.lower() in SPLIT_NAMES[split]}
    meant = exact or "train" in splits.values()  # a class may be called test_tube
    if meant and any(inner.folders for inner in filled.values()):
        return _checked(root, splits, filled, level)
    if len(exact) > 1:
        names = ", ".join(f"{name}/" for name in splits)
        raise _unclear(root, f"{names} hold no folders of classes: which class an image is of can't be told.")
    _check_classes(root, level.folders)
    return {"train": root}


def _checked(root: Path, splits: dict[str, str], filled: dict[str, Level], level: Level) -> dict[str, Path]:
    """The splits, each once and each with classes; nothing beside them that holds images."""
    by_split: dict[str, Path] = {}
    for name, split in splits.items():
        if split in by_split:
            raise _unclear(root, f"{by_split[split].name}/ and {name}/ both look like the {split} split.")
        if not filled[name].folders:
            raise _unclear(
                root, f"{name}/ holds no folders of classes: which class its images are of can't be told."
            )
        by_split[split] = root / name
    others = [name for name in level.folders if name not in splits and holds_images(root / name)]
    if "train" not in by_split:
        raise _unclear(root, f"There is {', '.join(f'{name}/' for name in splits)}, and no train/.")
    if others:
        raise _unclear(
            root, f"Beside {', '.join(f'{name}/' for name in splits)} there is {others[0]}/ with images."
        )
    folders = {split: _unwrapped(folder) for split, folder in by_split.items()}
    _check_classes(folders["train"], _look(folders["train"]).folders)
    return folders


def _check_classes(root: Path, folders: tuple[str, ...]) -> None:
    """Raises SecateurError for a single class, for images with their masks, and for folders that all hold the same
    ones: those are the classes."""
    if len(folders) == 1:
        raise _unclear(
            root, f"{folders[0]}/ is the only folder in it, and one class is nothing to tell apart."
        )
    named = {name.lower().replace("_", ""): f"{name}/" for name in folders}
    if named.keys() & IMAGES and named.keys() & BESIDE_IMAGES and named.keys() <= IMAGES | BESIDE_IMAGES:
        raise _unclear(
            root, f"{', '.join(named.values())} sound like images and what belongs to each of them."
        )
    first = _look(root / folders[0])
    if len(first.folders) > 1 and all(_look(root / name) == Level(first.folders, False) for name in folders):
        names = ", ".join(f"{name}/" for name in first.folders[:3])
        raise _unclear(
            root,
            f"{', '.join(f'{name}/' for name in folders[:3])} each hold {names} as splits hold classes, but are not "
            "called so.",
        )


def _unwrapped(folder: Path) -> Path:
    """The folder itself, or the one alone in it that holds folders and no images: what archives put around a set."""
    for _ in range(DEEPEST):
        level = _look(folder)
        filled = list(islice((name for name in level.folders if holds_images(folder / name)), 2))
        if level.images or len(filled) != 1:
            break
        inner = _look(folder / filled[0])
        if inner.images or not inner.folders or (split_of(filled[0]) and not split_of(folder.name)):
            break
        folder = folder / filled[0]
    return folder


def _look(folder: Path) -> Level:
    folders, images = [], False
    with os.scandir(folder) as entries:
        for entry in entries:
            if passed_over(entry.name):
                continue
            kind = kind_of(entry)
            if kind == "folder":
                folders.append(entry.name)
            elif kind == "file":
                images = images or is_image(entry.name)
    return Level(tuple(sorted(folders)), images)


def holds_images(folder: Path) -> bool:
    """Whether there is an image anywhere below `folder`."""
    level = _look(folder)
    return level.images or any(holds_images(folder / name) for name in level.folders)


def _unclear(root: Path, detail: str) -> SecateurError:
    return SecateurError(f"The folders in {root} can't be told to be splits or classes", detail, EXPECTED)
