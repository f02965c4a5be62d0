"""A YOLO `data.yaml`: which images each split has, and where their boxes are written. No torch, no numpy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.datasets.layout import passed_over
from engine.errors import SecateurError
from engine.store.paths import expanded

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Images that are looked for in folders."""
SPLITS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""Our names of the splits, and the keys they may have in the file."""


class _Written(yaml.SafeLoader):
    """Gives every plain value as the text that is written; `<<` alone means what it does elsewhere."""


_Written.yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}


@dataclass(frozen=True)
class Listed:
    """What a data.yaml says.

    `images` of each split, sorted; a split that the file does not name is missing. `names` of the classes.
    `key_points`: how many numbers a row has beyond its box, where the file says so by `kpt_shape`: 0 for none.
    """

    file: Path
    names: tuple[str, ...]
    images: dict[str, tuple[Path, ...]]
    key_points: int | None = None

    def files(self) -> list[Path]:
        """The file itself, every image, and every label file that there is."""
        images = sorted({image for split in self.images.values() for image in split})
        labels = [label for image in images if (label := label_file(image)).is_file()]
        return [self.file, *images, *labels]


def read(file: Path) -> Listed:
    """Read a data.yaml. Raises SecateurError that names the file, and the line where yaml knows it."""
    try:
        text = file.read_text("utf-8-sig")
        content, written = yaml.safe_load(text), yaml.load(text, _Written)
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(file, f"It can't be read: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark is not None else ""
        raise _wrong(file, f"It is no YAML: {getattr(error, 'problem', error)}{line}.") from error
    if not isinstance(content, dict):
        raise _wrong(file, f"It holds {type(content).__name__}, not keys with values.")
    # As they are written: YAML 1.1 makes false of the class `no`, and 1 of `01`. Null is none, however it is written.
    given = None if content.get("names") is None else written.get("names")
    names = _names(file, given, content.get("nc"))
    base = _base(file, content)
    images = {}
    for split, keys in SPLITS.items():
        given = next((content[key] for key in keys if content.get(key)), None)
        if given is not None:
            images[split] = _images(file, base, given, split)
    for split in ("train", "validation"):
        if split not in images:
            raise _wrong(file, f"It names no {SPLITS[split][0]} images.")
    return Listed(file, names, images, _key_points(file, content))


def label_file(image: Path) -> Path:
    """Where an image's boxes are written: `labels/` in place of the last `images/`, else beside the image.

    >>> label_file(Path("set/images/train/a.jpg")).as_posix()
    'set/labels/train/a.txt'
    """
    parts = list(image.parts)
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _names(file: Path, names: Any, count: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if sorted(names) != sorted(numbers):
            raise _wrong(
                file, f"The numbers of names are {', '.join(map(str, names))}; 0 to {len(names) - 1}."
            )
        names = [names[number] for number in numbers]
    if names is None and isinstance(count, int) and count > 0:
        names = [str(number) for number in range(count)]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _wrong(file, "It gives no names of classes.")
    if count is not None and count != len(names):
        raise _wrong(file, f"nc is {count}, and there are {len(names)} names.")
    return tuple(names)


def _key_points(file: Path, content: dict[Any, Any]) -> int | None:
    """Numbers of a row beyond class and box: `kpt_shape: [points, numbers of each]`, or false for polygons."""
    given = content.get("kpt_shape")
    if given is None or given is False:
        return None if given is None else 0
    if isinstance(given, list) and len(given) == 2 and all(isinstance(n, int) and n > 0 for n in given):
        return int(given[0] * given[1])
    raise _wrong(file, f"kpt_shape is {given!r}, not [points, 2 or 3].")


def _base(file: Path, content: dict[Any, Any]) -> Path:
    """The folder that the splits are relative to: `path`, itself relative to the file."""
    given = content.get("path")
    if given is None:
        return file.parent
    if not isinstance(given, str):
        raise _wrong(file, f"path is {given!r}, not a folder.")
    return file.parent / expanded(given)


def _images(file: Path, base: Path, given: Any, split: str) -> tuple[Path, ...]:
    images: list[Path] = []
    for entry in given if isinstance(given, list) else [given]:
        if not isinstance(entry, str):
            raise _wrong(file, f"{split} is {entry!r}, not a folder or a list of images.")
        place = _place(base, entry)
        if place.is_dir():
            images += _below(place)
        elif place.is_file() and place.suffix == ".txt":
            images += _listed(place)
        else:
            raise _wrong(file, f"{split} names {entry}, and there is no {place}.")
    if not images:
        raise _wrong(file, f"There are no images for {split} in {given}.")
    return tuple(sorted(images))


def _place(base: Path, entry: str) -> Path:
    """Where a split lies. Roboflow writes `../train/images` for what lies beside the file; ultralytics reads it so."""
    beside = base / entry.removeprefix("../")
    return beside if not (base / entry).exists() and beside.exists() else base / entry


def _below(place: Path) -> list[Path]:
    return [
        path
        for path in place.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(map(passed_over, path.relative_to(place).parts))
    ]


def _listed(place: Path) -> list[Path]:
    """The images that a text file lists, a path per line, relative to the file."""
    images = []
    for number, line in enumerate(place.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        image = place.parent / line.strip()
        if not image.is_file():
            raise _wrong(place, f"Line {number} names {line.strip()}, and there is no {image}.")
        images.append(image)
    return images


def _wrong(file: Path, detail: str) -> SecateurError:
    return SecateurError(
        f"{file} is not a YOLO data set that can be used",
        detail,
        "Needed are `train:` and `val:` (folders, or text files that list images) and `names:`.",
    )
