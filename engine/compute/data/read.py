"""Reading a data set as it is published: images and labels of the splits it brings, before ours are drawn."""

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import torch

from engine.compute.data.digits import DIGITS, read_digits
from engine.compute.data.folders import Listing, in_colour, left_out, list_classes, of_no_class
from engine.compute.data.idx import read_idx
from engine.compute.data.images import Decoded, Pixels
from engine.compute.data.pixels import Fit
from engine.compute.data.shards import Members, labels_of, read_shards
from engine.compute.data.source import LabelledImages, Source
from engine.datasets.layout import own_splits
from engine.datasets.locate import Location, stored
from engine.datasets.records import (
    Bundled,
    Folders,
    Idx,
    OwnBoxes,
    OwnFolders,
    OwnShards,
    Record,
    Scenes,
    Vision,
)
from engine.datasets.shards import class_names, own_shards
from engine.errors import SecateurError
from engine.params.preset import Data
from engine.text.phrases import listed


def read_source(params: Data, location: Location, record: Record, cache: Path | None = None) -> Source:
    """Read a built-in set or the user's files; raises SecateurError naming the file that can't be read.

    `cache` is a folder that keeps what large files hold; it need not exist or be writable.
    """
    match record.source:
        case Bundled():
            return Source(_digits(location.root / DIGITS, params))
        case Scenes():
            from engine.compute.data.scenes import read_scenes

            return read_scenes(location.root / DIGITS, params, record)
        case OwnBoxes():
            from engine.compute.data.boxes import read_boxes

            return read_boxes(location.root, params)
        case Idx():
            return _idx(record.source, location.root, params)
        case Folders():
            return _folders(record.source, location.root, params, record.channels)
        case OwnFolders():
            return _own_folders(location.root, params)
        case OwnShards():
            return _own_shards(location.root, params, cache)
        case Vision():
            from engine.compute.data.vision import read_vision

            return read_vision(params, location.root, record, record.source)
        case _:
            assert_never(record.source)


def _digits(path: Path, params: Data) -> LabelledImages:
    images, labels = read_digits(path)
    return LabelledImages(Pixels(images, Fit.of(params)), labels)


def _idx(source: Idx, root: Path, params: Data) -> Source:
    def part(files: tuple[str, str]) -> LabelledImages:
        images, labels = (read_idx(stored(root / name, True)) for name in files)
        if images.ndim != 3 or images.dtype != torch.uint8 or len(images) != len(labels):
            raise SecateurError(
                f"{root / files[0]} and {files[1]} don't belong together",
                f"{tuple(images.shape)} images and {tuple(labels.shape)} labels.",
                "Delete both and fetch the data set anew.",
            )
        # QMNIST gives eight numbers per image, of which the first is the class.
        labels = labels[:, 0] if labels.ndim == 2 else labels
        images = images.transpose(1, 2).contiguous() if source.transposed else images
        pixels = Pixels(images.unsqueeze(1), Fit.of(params))
        return LabelledImages(pixels, labels.long().contiguous() - source.first_label)

    return Source(part(source.train), test=part(source.test))


def _folders(source: Folders, root: Path, params: Data, channels: int | None) -> Source:
    folders = {"train": source.train, "validation": source.validation, "test": source.test}
    listings = {
        split: list_classes(root / folder, source.layout, source.suffixes, source.without)
        for split, folder in folders.items()
        if folder is not None
    }
    return _from_listings(listings, Fit.of(params, channels))


def _own_folders(root: Path, params: Data) -> Source:
    splits = own_splits(root)
    listings = {split: list_classes(folder, "deep", None) for split, folder in splits.items()}
    fit = Fit.of(params)
    # A colour image first makes all of them colour; after a grey one, a colour image is an error.
    colour = fit.channels is None and in_colour(listings["train"].paths)
    fit = replace(fit, channels=3) if colour else fit
    notices = [*of_no_class(splits.values()), *left_out([one.paths for one in listings.values()], fit)]
    return replace(_from_listings(listings, fit), notices=tuple(notices))


def _own_shards(root: Path, params: Data, cache: Path | None) -> Source:
    splits = own_shards(root)
    indexes = {split: read_shards(shards, cache) for split, shards in splits.items()}
    names = class_names(root)
    names, _ = labels_of([index for split in indexes.values() for index in split], names)
    fit = Fit.of(params)
    files = {split: Members(shards, indexes[split]) for split, shards in splits.items()}
    if fit.channels is None and in_colour(files["train"]):
        fit = replace(fit, channels=3)
    parts = {
        split: LabelledImages(Decoded(files[split], fit), labels_of(indexes[split], names)[1])
        for split in splits
    }
    return Source(parts["train"], parts.get("validation"), parts.get("test"), names)


def _from_listings(listings: dict[str, Listing], fit: Fit) -> Source:
    names = listings["train"].names
    numbers = {name: number for number, name in enumerate(names)}
    parts: dict[str, LabelledImages] = {}
    for split, listing in listings.items():
        unknown = sorted(set(listing.names) - numbers.keys())
        if unknown:
            raise SecateurError(
                f"The {split} images have classes that the training images lack",
                f"Only there: {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}.{_alike(unknown, names)}",
                "Name the class folders alike in all splits.",
            )
        own = torch.tensor([numbers[name] for name in listing.names])
        parts[split] = LabelledImages(Decoded(listing.paths, fit), own[listing.classes])
    return Source(parts["train"], parts.get("validation"), parts.get("test"), names)


def _alike(unknown: list[str], names: tuple[str, ...]) -> str:
    """What is to be said of names that look like others and are stored otherwise, as macOS stores accents."""
    known = {unicodedata.normalize("NFC", name) for name in names}
    alike = [name for name in unknown if unicodedata.normalize("NFC", name) in known]
    return f" {listed(alike)}: looks the same, but is stored in other characters (Unicode)." if alike else ""
