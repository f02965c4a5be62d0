"""From a location on disk to a data set: read, split, and held in memory where it fits."""

from pathlib import Path

import torch
from torch import Tensor

from engine.compute.data.dataset import Dataset, Split
from engine.compute.data.images import Images, Remembered, Subset
from engine.compute.data.memory import budget as memory_budget
from engine.compute.data.read import read_source
from engine.compute.data.source import LabelledImages, Source
from engine.compute.data.splits import stratified
from engine.compute.data.statistics import ENOUGH_PIXELS, mean_and_std
from engine.compute.data.user import read_user
from engine.compute.numerics.seeds import generator
from engine.datasets import Location
from engine.datasets import fingerprint as fingerprint_of
from engine.errors import SecateurError
from engine.params.preset import Data


def load(
    params: Data,
    location: Location,
    *,
    fingerprint: str | None = None,
    cache: Path | None = None,
    budget: int | None = None,
) -> Dataset:
    """The data set at `location` as `params` wants it. Nothing is downloaded.

    `fingerprint` is taken over if it is known, else computed (`cache` as in engine.datasets.fingerprint).
    Images take up to `budget` bytes of memory, by default half of what is free; a set that doesn't fit is
    decoded anew whenever its images are used, with equal tensors.

    Raises SecateurError for files that can't be read, images of different sizes without `data.size`, labels
    out of range, too few images to split, and whatever goes wrong in a user's own file.
    """
    if location.record is None:
        source, known = read_user(params)
        if fingerprint not in (None, known):
            raise _other_data(params.name)
    else:
        source = read_source(params, location, location.record)
        known = fingerprint or fingerprint_of(params, location, cache) or ""
    class_names = _class_names(source, location)
    parts = _split(source, params)
    channels, height, width = _shape(parts, params.name)
    parts = _held(parts, (channels, height, width), memory_budget() if budget is None else budget)
    detection = source.task == "detection"
    mean, std = _plain_range(channels) if detection else mean_and_std(parts[0].images, height, width)
    train, validation, test = (Split(part.images, part.labels) for part in parts)
    return Dataset(
        name=params.name,
        class_names=class_names,
        channels=channels,
        size=(height, width),
        mean=mean,
        std=std,
        train=train,
        validation=validation,
        test=test,
        fingerprint=known,
        task=source.task,
        notice=source.notice,
    )


def _other_data(name: str) -> SecateurError:
    return SecateurError(
        f"Your own code gives other data in every call: {name}",
        "Images or labels of this call differ from those of the call before: trials would be tested on images that "
        "others were trained on.",
        "Give what it draws at random a seed, such as numpy.random.default_rng(0).",
    )


def _plain_range(channels: int) -> tuple[Tensor, Tensor]:
    """Mean 0 and deviation 1: images from 0 to 1, as published detectors were trained on."""
    return torch.zeros(channels), torch.ones(channels)


def _split(source: Source, params: Data) -> list[LabelledImages]:
    """Training, validation and test images: the set's own splits, others drawn from the training images."""
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = _draw(train, params.test, params.split_seed, "test")
    if validation is None:
        train, validation = _draw(train, params.validation, params.split_seed, "validation")
    if params.limit is not None and params.limit < len(train.labels):
        random = generator(params.split_seed, "split", "limit")
        # Images with several objects have no one class whose share could be kept.
        groups = train.labels if source.task == "classification" else torch.zeros(len(train.labels)).long()
        train = _subset(train, stratified(groups, params.limit, random))
    return [train, validation, test]


def _draw(
    part: LabelledImages, share: float, seed: int, purpose: str
) -> tuple[LabelledImages, LabelledImages]:
    """What remains, and the share that is set aside; each class leaves at least one image behind."""
    count = max(1, round(share * len(part.labels)))
    mask = stratified(part.labels, count, generator(seed, "split", purpose), keep=1)
    if not mask.any():
        classes = int((part.labels.bincount() > 0).sum())
        raise SecateurError(
            f"There are too few images to set a {purpose} split aside",
            f"{len(part.labels)} images of {classes} classes; at least two of some class.",
            f"Add images, or bring a {purpose} split of your own.",
        )
    return _subset(part, ~mask), _subset(part, mask)


def _subset(part: LabelledImages, mask: Tensor) -> LabelledImages:
    index = mask.nonzero().squeeze(1)
    return LabelledImages(Subset(part.images, index), part.labels[index])


def _shape(parts: list[LabelledImages], name: str) -> tuple[int, int, int]:
    """(C, H, W) of the images, which must be the same in all splits."""
    first = torch.zeros(1, dtype=torch.int64)
    shapes = {tuple(part.images.gather(first).shape[1:]) for part in parts}
    if len(shapes) > 1:
        listed = ", ".join(
            f"{width}×{height} pixels in {channels} channels" for channels, height, width in shapes
        )
        raise SecateurError(
            f"The images of {name} differ between its splits", listed, "Set data.size and data.channels."
        )
    channels, height, width = shapes.pop()
    return channels, height, width


def _held(parts: list[LabelledImages], shape: tuple[int, int, int], budget: int) -> list[LabelledImages]:
    """The parts, those that are slow to get at kept in memory if all together fit into `budget` bytes.

    A small set is decoded at once, so that a damaged file shows before any training.
    """
    slow = sum(len(part.labels) for part in parts if part.images.slow)
    channels, height, width = shape
    fits = slow * channels * height * width <= budget
    held = [
        LabelledImages(
            Remembered(part.images, shape) if part.images.slow and fits else part.images, part.labels
        )
        for part in parts
    ]
    if slow * height * width <= ENOUGH_PIXELS:
        for part in held:
            _touch(part.images)
    return held


def _touch(images: Images) -> None:
    if images.slow:
        for index in torch.split(torch.arange(len(images)), 1024):
            images.gather(index)


def _class_names(source: Source, location: Location) -> tuple[str, ...]:
    """The names of the classes; their numbers where the set has no names. Checks every label against them."""
    if source.task == "detection":  # checked file by file, as they were read
        return source.class_names
    labels = [part.labels for part in (source.train, source.validation, source.test) if part is not None]
    highest = max(int(split.max()) for split in labels)
    lowest = min(int(split.min()) for split in labels)
    published = location.record.class_names if location.record else ()
    names = source.class_names or published or tuple(str(number) for number in range(highest + 1))
    if lowest < 0 or highest >= len(names):
        raise SecateurError(
            f"Labels of {location.name} are out of range",
            f"They go from {lowest} to {highest}; 0 to {len(names) - 1} for its {len(names)} classes.",
            "The files are not those of this data set; fetch it anew.",
        )
    return names
