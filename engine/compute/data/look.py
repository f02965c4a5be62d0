"""What a data set is, looked at before anything is trained: for the study's first line, and the whole report."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from engine.compute.data.dataset import Dataset, Split
from engine.compute.data.images import CHUNK, place_of
from engine.compute.data.statistics import ENOUGH_PIXELS, statistics
from engine.compute.numerics.aligned import to_array
from engine.errors import SecateurError

FAR_APART = 50
"""How many times the deviation of the training images' values that of other splits must not be."""
SAMPLED = 32
"""Images of each split of which the values are compared with those of others."""
EXAMPLES = 5
"""Images that are named of each thing found."""


@dataclass(frozen=True)
class Part:
    """A split: how many images it has, and how many of each class (of detectors: boxes)."""

    images: int
    per_class: tuple[int, ...]
    without_boxes: int = 0


@dataclass
class Copies:
    """Images that are there more than once, value for value.

    Attributes:
        between: How many of the second split's images are in the first, by the names of both.
        within: How many are in their own split already.
        contradictory: How many have another class than their copy.
        examples: Pairs of them, where each is a file.
    """

    between: dict[str, int] = field(default_factory=dict)
    within: dict[str, int] = field(default_factory=dict)
    contradictory: int = 0
    examples: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """What is known of a data set.

    `shape` is (C, H, W); `least`, `most` and `levels` (how many different values) are of the training images as stored,
    `mean` and `std` what images are normalized by, where `black` is 0 and `white` is 1. `resized` says how, if images
    are. `copies` is None where all images would have had to be decoded for it. `notices` is what was found in reading.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    splits: dict[str, Part]
    shape: tuple[int, int, int]
    eight_bits: bool
    least: float
    most: float
    levels: int
    black: float
    white: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resized: str
    copies: Copies | None
    notices: tuple[str, ...]
    spread: float
    """The deviation of the training values, where black to white is 1."""
    spreads: dict[str, float]
    """That of each split, as stored, of a sample of its images."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def look(data: Dataset, *, whole: bool = False) -> Look:
    """Look at `data`: at every image, where they are in memory or it is to be the `whole` set, else at a sample.

    Raises SecateurError for images that can't be read, where it decodes them, and for splits of which the values are so
    unlike that what was learned on one can't be seen in another.
    """
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    values = data.values or statistics(data.train.images, *data.size)
    pixels = sum(len(split) for split in splits.values()) * data.size[0] * data.size[1]
    return Look(
        name=data.name,
        task=data.task,
        classes=data.class_names,
        splits={name: _part(split, data.classes) for name, split in splits.items()},
        shape=(data.channels, *data.size),
        eight_bits=data.eight_bits,
        least=values.least,
        most=values.most,
        levels=values.levels,
        black=data.black,
        white=data.white,
        mean=tuple(data.mean.tolist()),
        std=tuple(data.std.tolist()),
        resized="" if data.fit.size is None else data.fit.interpolation,
        copies=_copies(splits) if whole or pixels <= ENOUGH_PIXELS else None,
        notices=data.notices + ((data.notice,) if data.notice else ()),
        spread=float(values.within(data.black, data.white)[1].max()),
        spreads=_spreads(splits),
    )


def _spreads(splits: dict[str, Split]) -> dict[str, float]:
    spreads = {name: _spread(split) for name, split in splits.items()}
    own = spreads["train"]
    for name, other in spreads.items():
        if times_apart(own, other) >= FAR_APART:
            raise SecateurError(
                f"The {name} images are stored at another scale than the training images",
                f"The deviation of their values is {other:.3g}, that of the training images' {own:.3g}.",
                "Scale all of them alike; if single values are far off, correct those.",
            )
    return spreads


def times_apart(one: float, other: float) -> float:
    """How many times the smaller deviation the larger one is; 0 where one is none."""
    return max(one / other, other / one) if min(one, other) > 0 else 0.0


def _spread(split: Split) -> float:
    """The deviation of the values of some images, evenly chosen."""
    count = min(SAMPLED, len(split))
    index = torch.arange(count) * len(split) // max(count, 1)
    return float(split.images.gather(index).double().std(correction=0)) if count else 0.0


def _part(split: Split, classes: int) -> Part:
    labels = split.labels
    if labels.ndim == 1:
        return Part(len(labels), tuple(labels.bincount(minlength=classes).tolist()))
    there = labels[..., 0] >= 0
    boxes = labels[..., 0][there].long()
    return Part(len(labels), tuple(boxes.bincount(minlength=classes).tolist()), int((~there.any(1)).sum()))


def _copies(splits: dict[str, Split]) -> Copies:
    copies = Copies()
    seen: dict[bytes, tuple[str, int, Split]] = {}
    for name, split in splits.items():
        if name == "test" and split.labels is splits["validation"].labels:
            continue  # the same images, which `notices` says
        for number, digest in enumerate(_digests(split)):
            before = seen.setdefault(digest, (name, number, split))
            if before[1] == number and before[2] is split:
                continue
            _note(copies, before, (name, number, split))
    return copies


def _note(copies: Copies, before: tuple[str, int, Split], after: tuple[str, int, Split]) -> None:
    """Take one more pair of equal images into `copies`."""
    (first, one, whose), (second, two, split) = before, after
    if first == second:
        copies.within[second] = copies.within.get(second, 0) + 1
    else:
        pair = f"{first} and {second}"
        copies.between[pair] = copies.between.get(pair, 0) + 1
    a, b = whose.labels[one], split.labels[two]
    copies.contradictory += int(a.ndim == 0 and bool(a != b))
    places = [place for s, n in ((whose, one), (split, two)) if (place := place_of(s.images, n))]
    if first != second and len(places) == 2 and len(copies.examples) < EXAMPLES:
        copies.examples.append(places)


def _digests(split: Split) -> Iterator[bytes]:
    """A hash of the values of each image in turn."""
    for index in torch.split(torch.arange(len(split)), CHUNK):
        for image in to_array(split.images.gather(index)):
            yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()
