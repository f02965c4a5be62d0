"""`digits-detection`: real handwritten digits placed on canvases, to be found and named.

Every number here is ours, chosen so that a small detector learns the set in minutes on two cores and is not
perfect at it. The same code gives the same canvases on every machine: sizes are drawn as integers, digits are
scaled by torch's bilinear filter and rounded, and noise is added as integers.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.compute.data.digits import read_digits
from engine.compute.data.images import Pixels
from engine.compute.data.pixels import Fit
from engine.compute.data.source import LabelledImages, Source
from engine.compute.data.splits import stratified
from engine.compute.numerics.seeds import generator
from engine.datasets.records import Record
from engine.params.preset import Data

CANVAS = 96
"""Pixels in height and width: a multiple of 32, YOLO's coarsest stride."""
MOST = 6
"""Digits on a canvas; at least one."""
SCALES = (16, 32)
"""Smallest and largest height of a digit in pixels: two to four times the 8 that it has."""
STEP = 4
NOISE = 40
"""Brightest pixel of the background; a digit goes up to 255."""
TRIES = 20
"""Places tried for a digit that must touch no other; a full canvas stays as it is."""
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
"""Of the source digits; no digit is on canvases of two splits."""
SEED = 0


def read_scenes(path: Path, params: Data, record: Record) -> Source:
    """The three splits, from the digits in `path`; they share no digit."""
    images, labels = read_digits(path)
    counts = record.images
    assert counts is not None
    wanted = {"train": counts.train, "validation": counts.validation, "test": counts.test}
    digits = sources(labels)
    parts = {
        split: _part(images[digits[split]], labels[digits[split]], count, split, params)
        for split, count in wanted.items()
    }
    return Source(parts["train"], parts["validation"], parts["test"], record.class_names, "detection")


def sources(labels: Tensor) -> dict[str, Tensor]:
    """Which of the digits each split's canvases show: their numbers, each class by its share."""
    test = stratified(labels, round(SHARES["test"] * len(labels)), generator(SEED, "scenes", "test"))
    rest = (~test).nonzero().squeeze(1)
    count = round(SHARES["validation"] * len(labels))
    validation = stratified(labels[rest], count, generator(SEED, "scenes", "validation"))
    return {
        "train": rest[~validation],
        "validation": rest[validation],
        "test": test.nonzero().squeeze(1),
    }


def _part(digits: Tensor, labels: Tensor, count: int, split: str, params: Data) -> LabelledImages:
    shown = [_Shown(height, digits) for height in range(SCALES[0], SCALES[1] + 1, STEP)]
    noise = generator(SEED, "scenes", split, "noise")
    canvases = torch.randint(NOISE + 1, (count, CANVAS, CANVAS), generator=noise, dtype=torch.uint8)
    draw = _Draws(generator(SEED, "scenes", split, "canvases"))
    boxes = [_fill(canvas, shown, labels.tolist(), draw) for canvas in canvases]
    return LabelledImages(Pixels(canvases.unsqueeze(1), Fit.of(params)), torch.tensor(boxes))


class _Shown:
    """Every digit in one height: `pixels`, uint8 (N, h, h), and the `extent` of its strokes."""

    def __init__(self, height: int, digits: Tensor) -> None:
        self.height = height
        scaled = F.interpolate(digits.float(), (height, height), mode="bilinear").squeeze(1)
        self.pixels = scaled.round().clamp(0, 255).to(torch.uint8)
        strokes = self.pixels > NOISE  # what is brighter than the background can be
        top, bottom = _first_and_last(strokes.any(2))
        left, right = _first_and_last(strokes.any(1))
        self.extent: list[list[int]] = torch.stack([top, bottom, left, right], 1).tolist()


def _first_and_last(there: Tensor) -> tuple[Tensor, Tensor]:
    """The first true of each row of (N, h), and the place after the last."""
    return there.byte().argmax(1), there.shape[1] - there.flip(1).byte().argmax(1)


class _Draws:
    """Whole numbers by chance, drawn many at a time because single draws are slow."""

    def __init__(self, random: torch.Generator) -> None:
        self._random = random
        self._drawn: list[int] = []

    def __call__(self, count: int) -> int:
        """From 0 to `count` − 1."""
        if not self._drawn:
            self._drawn = torch.randint(2**31, (4096,), generator=self._random).tolist()
        return self._drawn.pop() % count


def _fill(canvas: Tensor, shown: list[_Shown], labels: list[int], draw: _Draws) -> list[list[float]]:
    """Put digits onto a canvas (H, W), in place; their boxes, MOST rows as in `Split`."""
    boxes: list[list[float]] = []
    taken: list[tuple[int, int, int]] = []
    for _ in range(draw(MOST) + 1):
        digits, which = shown[draw(len(shown))], draw(len(labels))
        place = _free(digits.height, taken, draw)
        if place is None:
            continue
        y, x = place
        window = canvas[y : y + digits.height, x : x + digits.height]
        window.copy_(torch.maximum(window, digits.pixels[which]))
        top, bottom, left, right = digits.extent[which]
        box = (x + (left + right) / 2, y + (top + bottom) / 2, right - left, bottom - top)
        boxes.append([float(labels[which]), *(value / CANVAS for value in box)])
        taken.append((y, x, digits.height))
    return boxes + [[-1.0, 0.0, 0.0, 0.0, 0.0]] * (MOST - len(boxes))


def _free(height: int, taken: list[tuple[int, int, int]], draw: _Draws) -> tuple[int, int] | None:
    """Where a square of this height touches no other; None when no try finds such a place."""
    for _ in range(TRIES):
        y, x = draw(CANVAS - height + 1), draw(CANVAS - height + 1)
        if all(y + height <= b or b + h <= y or x + height <= a or a + h <= x for b, a, h in taken):
            return y, x
    return None
