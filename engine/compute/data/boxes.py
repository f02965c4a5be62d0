"""`yolo`: a user's own images with boxes, as a data.yaml lists them."""

from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from engine.compute.data.images import UNREADABLE, Decoded
from engine.compute.data.labels import Reading, Row
from engine.compute.data.opening import open_image
from engine.compute.data.paths import Paths
from engine.compute.data.pixels import Array, Fit, fit_image
from engine.compute.data.source import LabelledImages, Source
from engine.datasets import yolofiles
from engine.errors import SecateurError
from engine.params.preset import Data

SIZE = 640
"""Pixels that images are fitted into unless the preset says otherwise: what YOLO is published for."""
BORDER = 114
"""Grey of the bars beside an image that is no square: the field's practice (YOLOv5 to YOLO11)."""
TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
ORIENTATION = 0x0112


def read_boxes(file: Path, params: Data) -> Source:
    """The splits of a data.yaml; raises SecateurError that names every file and line that is wrong."""
    listed = yolofiles.read(file)
    size = params.size or SIZE
    channels = params.channels or 3
    reading = Reading(len(listed.names), listed.key_points)
    boxes = {split: _boxes(images, reading, size) for split, images in listed.images.items()}
    notices = reading.finish(file, params.skip_damaged)
    parts = {
        split: LabelledImages(_images(images, size, channels), _targets(images, boxes[split]))
        for split, images in listed.images.items()
    }
    test, notice = parts.get("test"), ""
    if test is None:
        test = parts["validation"]
        notice = f"{file.name} names no test images: those of val are scored, on which choices were made too"
    return Source(parts["train"], parts["validation"], test, listed.names, "detection", notice, notices)


class Letterboxed:
    """Image files, each opened as a square with the whole image in it."""

    def __init__(self, paths: Paths, size: int, channels: int) -> None:
        self._paths = paths
        self._size = size
        self._channels = channels

    def __len__(self) -> int:
        return len(self._paths)

    def place(self, number: int) -> str:
        return self._paths.place(number)

    def open(self, number: int) -> Image.Image | Array:
        opened = self._paths.open(number)
        assert isinstance(opened, Image.Image)  # what yolofiles lists
        with opened as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                raise ValueError(f"mode {image.mode}, more than 8 bits a value; detectors take 8")
            upright = ImageOps.exif_transpose(image)
            return letterbox(fit_image(upright, Fit(channels=self._channels)), self._size)


def _images(files: tuple[Path, ...], size: int, channels: int) -> Decoded:
    return Decoded(Letterboxed(Paths(map(str, files)), size, channels), Fit(channels=channels))


def letterbox(image: Image.Image, size: int) -> Image.Image:
    """The whole image in a square, its shape kept, grey bars beside it."""
    width, height, left, above = _fitted(image.width, image.height, size)
    canvas = Image.new(image.mode, (size, size), BORDER if image.mode == "L" else (BORDER,) * 3)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, above))
    return canvas


def _fitted(width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """Width, height, left and upper margin in a square of `size`.

    >>> _fitted(200, 100, 64)
    (64, 32, 0, 16)
    """
    scale = size / max(width, height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    return *fitted, (size - fitted[0]) // 2, (size - fitted[1]) // 2


def _targets(images: tuple[Path, ...], rows: list[list[Row]]) -> Tensor:
    """Boxes in the letterboxed images, float32 (N, M, 5) as in `Split`, M at least 1."""
    targets = torch.zeros(len(images), max(1, *(len(boxes) for boxes in rows)), 5)
    targets[..., 0] = -1
    for number, boxes in enumerate(rows):
        if boxes:
            targets[number, : len(boxes)] = torch.tensor(boxes)
    if not (targets[..., 0] >= 0).any():
        raise SecateurError(
            "The images have no boxes",
            f"None of {len(images)} images has a label file, such as {yolofiles.label_file(images[0])}.",
            "Labels belong into labels/ beside images/, a text file per image: class x y width height.",
        )
    return targets


def _boxes(images: tuple[Path, ...], reading: Reading, size: int) -> list[list[Row]]:
    """The boxes of each image, in its square."""
    boxes = []
    for image in images:
        file = yolofiles.label_file(image)
        rows = reading.rows(file) if file.is_file() else []  # an image without objects
        inner = _inner(image, reading, size) if rows else None
        boxes.append([_in_square(row, inner, size) for row in rows] if inner else [])
    return boxes


def _inner(image: Path, reading: Reading, size: int) -> tuple[int, int, int, int] | None:
    """Where the image lies in its square, as it is to be seen; None where it can't be read."""
    try:
        with open_image(str(image)) as opened:
            turned = opened.getexif().get(ORIENTATION) in TURNED
            width, height = opened.size[::-1] if turned else opened.size
    except UNREADABLE as error:
        reading.damaged.append(f"{image} is not an image that can be read: {type(error).__name__}: {error}")
        return None
    return _fitted(width, height, size)


def _in_square(box: Row, inner: tuple[int, int, int, int], size: int) -> Row:
    width, height, left, above = inner
    label, x, y, w, h = box
    return [
        label,
        (x * width + left) / size,
        (y * height + above) / size,
        w * width / size,
        h * height / size,
    ]
