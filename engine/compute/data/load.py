"""From a location on disk to a data set: read, split, and held in memory where it fits."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from engine.compute.data.dataset import Dataset, Split
from engine.compute.data.images import (
    Decoded,
    Images,
    Remembered,
    Subset,
    damaged_among,
    differing,
    from_files,
    unreadable,
)
from engine.compute.data.known import Memory
from engine.compute.data.memory import budget as memory_budget
from engine.compute.data.pixels import Fit
from engine.compute.data.read import read_source
from engine.compute.data.source import LabelledImages, Source
from engine.compute.data.splits import stratified
from engine.compute.data.statistics import BYTE, ENOUGH_PIXELS, Statistics, statistics
from engine.compute.data.user import read_user
from engine.compute.numerics.seeds import generator
from engine.datasets import Location
from engine.datasets import fingerprint as fingerprint_of
from engine.datasets.preprocess import OWN_STATISTICS, resolve, usual
from engine.datasets.records import Task
from engine.errors import SecateurError, UsageError
from engine.params.preset import Data
from engine.text.phrases import counted


def load(
    params: Data,
    location: Location,
    *,
    fingerprint: str | None = None,
    cache: Path | None = None,
    budget: int | None = None,
) -> Dataset:
    """The data set at `location` as `params` wants it. Nothing is downloaded.

    `fingerprint` is what the data must have, if that is known (`cache` as in engine.datasets.fingerprint).
    Images take up to `budget` bytes of memory, by default half of what is free; a set that doesn't fit is
    decoded anew whenever its images are used, with equal tensors.

    Raises SecateurError for files that can't be read, images of different sizes without `data.size`, labels
    out of range, too few images to split, other data than those of `fingerprint`, and whatever goes wrong in a user's
    own file.
    """
    if location.record is None:
        source, known = read_user(params)
        if fingerprint not in (None, known):
            raise _other_calls(params.name)
    else:
        source = read_source(params, location, location.record, cache)
        known = fingerprint or fingerprint_of(params, location, cache) or ""
    memory = Memory(cache, known)
    if params.skip_damaged:
        source = without_damaged(source, memory)
    class_names = _class_names(source, location)
    parts = _split(source, params)
    like = _like(parts, params.name)
    parts = _held(parts, like, memory_budget() if budget is None else budget)
    channels, height, width = like.shape[1:]
    values = _statistics(parts[0].images, height, width, memory)
    black, white = _range(params, values)
    mean, std = _normalization(params, source.task, values.within(black, white))
    train, validation, test = (Split(part.images, part.labels) for part in parts)
    drawn = _drawn(source)
    # How a published set is split is known of it.
    own = location.record is None or location.record.source.own
    told = _told(drawn, parts, len(source.train.labels)) if own and "test" in drawn else ""
    # Last, so that nothing of what was read is of files that were changed before it was.
    if location.record is not None and fingerprint not in (None, fingerprint_of(params, location, cache)):
        raise _other_data(params.name)
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
        notice=source.notice or told,
        black=black,
        white=white,
        fit=Fit.of(params),
        notices=source.notices,
        left_out=source.left_out,
        drawn=drawn,
        eight_bits=not values.deep,
        from_files=from_files(source.train.images),
        values=values,
        workers=params.workers,
    )


def _other_data(name: str) -> SecateurError:
    return SecateurError(
        f"The data of {name} are not those that the study began with",
        f"{name}: files were changed since; results on both can't be compared.",
        "Put them back, or run the preset as a new study.",
    )


def _other_calls(name: str) -> SecateurError:
    return SecateurError(
        f"Your own code gives other data in every call: {name}",
        "Images or labels of this call differ from those of the call before: trials would be tested on images that "
        "others were trained on.",
        "Give what it draws at random a seed, such as numpy.random.default_rng(0).",
    )


def _statistics(images: Images, height: int, width: int, memory: Memory) -> Statistics:
    """Of the training images; those that are decoded whenever they are used are looked at once for all jobs."""
    if not images.by_processes:
        return statistics(images, height, width)
    if memory.known.statistics is None:
        memory.keep_statistics(statistics(images, height, width))
    assert memory.known.statistics is not None
    return memory.known.statistics


def _range(params: Data, values: Statistics) -> tuple[float, float]:
    """The stored values that are black and white."""
    if params.range is not None:
        return params.range
    if not values.deep:
        return BYTE
    if values.least >= 0 and values.most <= 1:
        return 0.0, 1.0
    return values.least, values.most if values.most > values.least else values.least + 1


def _normalization(params: Data, task: Task, own: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and deviation as the preset wants them, float32 (C,)."""
    chosen = resolve(params)
    plain = torch.zeros_like(own[0]), torch.ones_like(own[1])
    pair = []
    for name, given, mine, zero in zip(("mean", "std"), (chosen.mean, chosen.std), own, plain, strict=True):
        given = usual(task) if given is None else given
        if given == OWN_STATISTICS:
            pair.append(mine)
        elif given is None:
            pair.append(zero)
        else:
            pair.append(_numbers(name, tuple(map(float, given)), len(mine)))
    return pair[0], pair[1]


def _numbers(name: str, given: tuple[float, ...], channels: int) -> Tensor:
    if len(given) not in (1, channels):
        raise UsageError(
            f"data.{name} has {len(given)} numbers, and the images {channels} channels",
            f"It is {', '.join(f'{value:g}' for value in given)}.",
            f"Give one number, or {channels}"
            + ("; or set data.channels: 3, which makes grey images colour ones." if channels == 1 else "."),
        )
    return torch.tensor(given if len(given) == channels else given * channels)


def _split(source: Source, params: Data) -> list[LabelledImages]:
    """Training, validation and test images: the set's own splits, others drawn from the training images."""
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = _draw(train, params.test, params.split_seed, "test")
    if validation is None:
        train, validation = _draw(train, params.validation, params.split_seed, "validation")
    limits = {"limit": params.limit, "validation": params.limit_validation, "test": params.limit_test}
    parts = zip((train, validation, test), limits.items(), strict=True)
    return [_limited(part, limit, purpose, params.split_seed) for part, (purpose, limit) in parts]


def _drawn(source: Source) -> tuple[str, ...]:
    """The splits that the source does not bring."""
    brought = {"validation": source.validation, "test": source.test}
    return tuple(split for split, part in brought.items() if part is None)


def _told(drawn: tuple[str, ...], parts: list[LabelledImages], of: int) -> str:
    """That `parts` (training, validation, test) have `drawn` from the `of` images that were brought for training."""
    counts = dict(zip(("training", "validation", "test"), (len(part.labels) for part in parts), strict=True))
    numbers = " and ".join(f"{counts[split]:,}" for split in drawn)
    return f"no {' and no '.join(drawn)} images are brought: {numbers} of the {of:,} training images are drawn for that"


def _limited(part: LabelledImages, limit: int | None, purpose: str, seed: int) -> LabelledImages:
    """At most `limit` of the images, each class by its share."""
    if limit is None or limit >= len(part.labels):
        return part
    random = generator(seed, "split", *dict.fromkeys(("limit", purpose)))
    # Images with several objects have no one class whose share could be kept.
    groups = part.labels if part.labels.ndim == 1 else torch.zeros(len(part.labels)).long()
    return _subset(part, stratified(groups, limit, random))


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
            f"{counted(len(part.labels), 'image')} of {counted(classes, 'class', 'classes')}; at least two of "
            "some class.",
            f"Add images, or bring a {purpose} split of your own.",
        )
    return _subset(part, ~mask), _subset(part, mask)


def _subset(part: LabelledImages, mask: Tensor) -> LabelledImages:
    index = mask.nonzero().squeeze(1)
    return LabelledImages(Subset(part.images, index), part.labels[index])


def _like(parts: list[LabelledImages], name: str) -> Tensor:
    """The first image that can be read, (1, C, H, W): those of all splits must be of its shape and type."""
    firsts = [sample for part in parts if (sample := _first(part.images)) is not None]
    if not firsts:
        raise unreadable([one for part in parts for one in damaged_among(part.images)])
    place, first = firsts[0]
    for other, image in firsts[1:]:
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            if place and other:
                raise differing((place, other), first, image)
            listed = [f"{i.shape[2]}×{i.shape[1]} pixels in {i.shape[0]} channels" for i in (first, image)]
            raise SecateurError(
                f"The images of {name} differ between its splits",
                f"{listed[0]}, {listed[1]}",
                "Set data.size and data.channels.",
            )
    return first.unsqueeze(0)


def _first(images: Images) -> tuple[str, Tensor] | None:
    """The first image that can be read, (C, H, W), and where it lies, if it is a file."""
    if not from_files(images):
        return "", images.gather(torch.zeros(1, dtype=torch.int64))[0]
    for number in range(len(images)):
        (image,) = images.attempt([number])
        if isinstance(image, Tensor):
            return images.place(number), image
    return None


def _held(parts: list[LabelledImages], like: Tensor, budget: int) -> list[LabelledImages]:
    """The parts, those that are slow to get at kept in memory if all together fit into `budget` bytes.

    A small set is decoded at once, so that all damaged files show before any training.
    """
    slow = sum(len(part.labels) for part in parts if part.images.slow)
    fits = slow * like.numel() * like.element_size() <= budget
    held = [
        LabelledImages(
            Remembered(part.images, like) if part.images.slow and fits else part.images, part.labels
        )
        for part in parts
    ]
    if slow * like.shape[2] * like.shape[3] <= ENOUGH_PIXELS:
        damaged = [one for part in held if part.images.slow for one in damaged_among(part.images)]
        if damaged:
            raise unreadable(list(dict.fromkeys(damaged)))
    return held


def without_damaged(source: Source, memory: Memory) -> Source:
    """The source without the images that can't be read: `left_out` counts them, a notice for each split names one.

    Decodes every image, unless `memory` has the result of an earlier pass.
    """
    notices, left_out = list(source.notices), 0
    if memory.known.damaged is None:
        parts = [part for part in (source.train, source.validation, source.test) if part is not None]
        memory.keep_damaged(tuple(one.place for part in parts for one in damaged_among(part.images)))
    damaged = frozenset(memory.known.damaged or ())

    def good(part: LabelledImages | None, split: str) -> LabelledImages | None:
        if part is None or not damaged or not isinstance(part.images, Decoded):
            return part
        files = part.images.files
        bad = {place for number in range(len(files)) if (place := files.place(number)) in damaged}
        if not bad:
            return part
        nonlocal left_out
        left_out += len(bad)
        what, one = counted(len(bad), f"{split} image"), len(bad) == 1
        notices.append(
            f"{what} can't be read and {'is' if one else 'are'} left out, {min(bad)}{'' if one else ' among them'}"
        )
        return _subset(part, torch.tensor([files.place(number) not in bad for number in range(len(files))]))

    train = good(source.train, "training")
    assert train is not None
    validation, test = good(source.validation, "validation"), good(source.test, "test")
    return replace(
        source, train=train, validation=validation, test=test, notices=tuple(notices), left_out=left_out
    )


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
    if int(source.train.labels.min()) == (alone := int(source.train.labels.max())):
        raise SecateurError(
            f"All training images of {location.name} are of one class, {names[alone]}",
            "One class is nothing to tell apart.",
            "Bring training images of at least two.",
        )
    return names
