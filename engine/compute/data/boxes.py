"""`yolo`: a user's own images with boxes, as a data.yaml lists them."""

import math
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from engine.compute.data.images import UNREADABLE, Decoded
from engine.compute.data.pixels import fit_image
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
EDGE = 1e-3
"""How far beyond the image, as a share of it, rounding may put a box."""


def read_boxes(file: Path, params: Data) -> Source:
    """The splits of a data.yaml; raises SecateurError that names the file and line that is wrong."""
    listed = yolofiles.read(file)
    size = params.size or SIZE
    channels = params.channels or 3
    parts = {
        split: LabelledImages(_images(images, size, channels), _targets(images, len(listed.names), size))
        for split, images in listed.images.items()
    }
    test, notice = parts.get("test"), ""
    if test is None:
        test = parts["validation"]
        notice = f"{file.name} names no test images: those of val are scored, on which choices were made too"
    return Source(parts["train"], parts["validation"], test, listed.names, "detection", notice)


def _images(files: tuple[Path, ...], size: int, channels: int) -> Decoded:
    def opened(number: int) -> Image.Image:
        with Image.open(files[number]) as image:
            return letterbox(fit_image(ImageOps.exif_transpose(image), None, channels), size)

    return Decoded(len(files), opened, lambda number: str(files[number]), None, channels)


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


def _targets(images: tuple[Path, ...], classes: int, size: int) -> Tensor:
    """Boxes in the letterboxed images, float32 (N, M, 5) as in `Split`, M at least 1."""
    found = [_boxes(image, classes, size) for image in images]
    targets = torch.zeros(len(images), max(1, *(len(boxes) for boxes in found)), 5)
    targets[..., 0] = -1
    for number, boxes in enumerate(found):
        if boxes:
            targets[number, : len(boxes)] = torch.tensor(boxes)
    if not (targets[..., 0] >= 0).any():
        raise SecateurError(
            "The images have no boxes",
            f"None of {len(images)} images has a label file, such as {yolofiles.label_file(images[0])}.",
            "Labels belong into labels/ beside images/, a text file per image: class x y width height.",
        )
    return targets


def _boxes(image: Path, classes: int, size: int) -> list[list[float]]:
    file = yolofiles.label_file(image)
    if not file.is_file():  # an image without objects
        return []
    lines = [
        (number, line.split()) for number, line in enumerate(_text(file).splitlines(), 1) if line.strip()
    ]
    if not lines:
        return []
    width, height = _size(image)
    inner = _fitted(width, height, size)
    return [_in_square(_parsed(file, number, words, classes), inner, size) for number, words in lines]


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(file, 1, f"it can't be read: {error}") from error


def _size(image: Path) -> tuple[int, int]:
    """Width and height as the image is to be seen."""
    try:
        with Image.open(image) as opened:
            turned = opened.getexif().get(ORIENTATION) in TURNED
            return opened.size[::-1] if turned else opened.size
    except UNREADABLE as error:
        raise SecateurError(
            f"{image} is not an image that can be read",
            f"{type(error).__name__}: {error}",
            "Remove or replace the file.",
        ) from error


def _parsed(file: Path, number: int, words: list[str], classes: int) -> list[float]:
    """One line as class, centre, width and height; of a polygon, those of the box around it."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise _wrong(file, number, f"{error}") from error
    polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) != 5 and not polygon:
        raise _wrong(file, number, f"it has {len(values)} numbers, not 5")
    label, rest = values[0], values[1:]
    if not 0 <= label < classes or label != int(label):
        raise _wrong(file, number, f"class {words[0]} is not one of 0 to {classes - 1}")
    if not all(math.isfinite(value) and -EDGE <= value <= 1 + EDGE for value in rest):
        raise _wrong(file, number, "a coordinate is not from 0 to 1 (fractions of the image, not pixels)")
    if polygon:
        xs, ys = rest[0::2], rest[1::2]
        low, high = (min(xs), min(ys)), (max(xs), max(ys))
        rest = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]]
    if rest[2] <= 0 or rest[3] <= 0:
        raise _wrong(file, number, "the box has no area")
    return [label, *rest]


def _in_square(box: list[float], inner: tuple[int, int, int, int], size: int) -> list[float]:
    width, height, left, above = inner
    label, x, y, w, h = box
    return [
        label,
        (x * width + left) / size,
        (y * height + above) / size,
        w * width / size,
        h * height / size,
    ]


def _wrong(file: Path, line: int, what: str) -> SecateurError:
    return SecateurError(
        f"{file}, line {line}: {what}",
        "A line is: class x y width height, all but the class as fractions of the image.",
        "Correct or remove the line.",
    )
