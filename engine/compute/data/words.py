"""What a look at a data set found, in words: the study's first line with its notes, and the whole report."""

import unicodedata
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from engine.compute.data.dataset import Dataset
from engine.compute.data.look import Look, times_apart
from engine.params.catalog import GIVEN_BY_NAME
from engine.text.numbers import number
from engine.text.phrases import counted, listed, names
from engine.text.tables import table

IMBALANCED = 3
"""How many times the images of the rarest class the largest has, from which it is told."""
APART = 8
"""How many times the deviation of one split another's has, from which they are of other scales."""
NARROW = 0.005
"""Deviation of values, where black to white is 1, below which one value far off is likely to stretch the range."""
FEW_LEVELS = 8
"""Different values up to which something is likely to be wrong."""
NAMES = 5
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
COLOURS = {1: "grey", 3: "colour"}


def summary(look: Look) -> dict[str, Any]:
    """For the check-up before a study: `name`, `text` in a line, and `notes`."""
    return {"name": look.name, "text": line(look), "notes": list(notes(look))}


def line(look: Look) -> str:
    """What the data are, in one line."""
    channels, height, width = look.shape
    counts = ", ".join(f"{part.images:,} {SPLITS[name]}" for name, part in look.splits.items())
    boxes = sum(sum(part.per_class) for part in look.splits.values()) if look.task == "detection" else 0
    with_boxes = f" with {counted(boxes, 'box', 'boxes')}" if boxes else ""
    colour = COLOURS.get(channels, counted(channels, "channel"))
    return (
        f"{counted(len(look.classes), 'class', 'classes')} ({names(look.classes, NAMES)}); {counts} images"
        f"{with_boxes} of {width}×{height}, {colour}; values {_values(look)}; "
        f"mean {_row(look.mean)}, deviation {_row(look.std)}"
    )


def _values(look: Look) -> str:
    text = f"{number(look.least)} to {number(look.most)} ({counted(look.levels, 'level')})"
    if look.eight_bits and (look.black, look.white) == (0, 255):
        return text
    return f"{text}, black {number(look.black)}, white {number(look.white)}"


def _row(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values[:4]) + (" …" if len(values) > 4 else "")


def notes(look: Look) -> Iterator[str]:
    """What a reader of the results should know, a sentence each."""
    yield from look.notices
    yield from _about_classes(look)
    yield from _about_copies(look)
    yield from _about_values(look)
    if look.levels <= FEW_LEVELS:
        yield f"all pixels have one of {counted(look.levels, 'value')}: check how the images were saved"


def seen(data: Dataset, weights: str) -> Iterator[str]:
    """What to tell of a network with these weights: its training may have been on images that score it here."""
    if data.drawn and weights not in GIVEN_BY_NAME:
        counts = {"validation": len(data.validation), "test": len(data.test)}
        splits = " and ".join(f"{counts[name]:,} {SPLITS[name]}" for name in data.drawn)
        yield (
            f"the weights of {PurePath(weights).name} may have been trained on the {splits} images, which are drawn "
            "from the training images: what is measured on them is too high then"
        )


def _about_classes(look: Look) -> Iterator[str]:
    train = look.splits["train"].per_class
    for name, part in look.splits.items():
        missing = [look.classes[i] for i, count in enumerate(part.per_class) if not count]
        if missing:
            yield f"no {SPLITS[name]} image is of {listed(missing, NAMES)}"
        if part.without_boxes:
            yield f"{part.without_boxes:,} of {part.images:,} {SPLITS[name]} images have no box"
    alike: dict[str, list[str]] = {}
    for one in look.classes:
        alike.setdefault(unicodedata.normalize("NFC", one).strip().casefold(), []).append(one)
    for group in alike.values():
        if len(group) > 1:
            alone = "in capitals, blanks or how accents are stored alone"
            yield f"classes {listed([repr(one) for one in group], NAMES)} differ {alone}"
    rare, most = min(filter(None, train), default=0), max(train, default=0)
    if rare and most >= IMBALANCED * rare:
        what = "boxes" if look.task == "detection" else "training images"
        yield (
            f"{look.classes[train.index(most)]} has {most / rare:.3g} times the {what} of "
            f"{look.classes[train.index(rare)]} ({most:,} and {rare:,}): accuracy tells little of rare classes"
        )


def _about_values(look: Look) -> Iterator[str]:
    own = look.spreads["train"]
    for name, other in look.spreads.items():
        if times_apart(own, other) >= APART:
            yield (
                f"values of {SPLITS[name]} images have a deviation of {other:.3g}, those of training images of "
                f"{own:.3g}: one is stored at another scale, or single values in it are far off"
            )
    if 0 < look.spread < NARROW:
        yield (
            f"nearly all values lie close together (deviation {look.spread:.2g}, where black to white is 1): look for "
            "single ones that are far off, or set data.range"
        )


def _about_copies(look: Look) -> Iterator[str]:
    if look.copies is None:
        yield "copies between the splits were not looked for in so many images: `secateur data check` does it"
        return
    for pair, count in look.copies.between.items():
        first, _, second = pair.partition(" and ")
        example = f" ({' is '.join(look.copies.examples[0])})" if look.copies.examples else ""
        images = counted(count, f"{SPLITS[second]} image")
        yield f"{images} also among the {SPLITS[first]} images, value for value{example}"
    if look.copies.contradictory:
        yield f"{counted(look.copies.contradictory, 'image')} of another class than a copy elsewhere"


def report(look: Look) -> str:
    """Everything, for people."""
    shape = f"{look.shape[2]}×{look.shape[1]} pixels, {counted(look.shape[0], 'channel')}"
    rows = [
        ("images", f"{shape}{f', resized ({look.resized})' if look.resized else ''}"),
        ("values", f"{_values(look)}, {'8 bits' if look.eight_bits else 'as stored, in float32'}"),
        ("normalized", f"mean {_row(look.mean)}, deviation {_row(look.std)}"),
        *((f"{SPLITS[name]}", _about(look, name)) for name in look.splits),
        *(("copies within", f"{count:,} {SPLITS[name]}") for name, count in _within(look).items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{look.name}: {look.task}, {counted(len(look.classes), 'class', 'classes')}"]
    lines += [f"  {name:<{width}}  {text}" for name, text in rows]
    lines += ["", _table(look)]
    remarks = list(notes(look))
    lines += ["", *(f"! {note}" for note in remarks)] if remarks else ["", "nothing unusual was found"]
    if look.copies and look.copies.examples:
        lines += [f"    {one} is {other}" for one, other in look.copies.examples]
    return "\n".join(lines)


def _within(look: Look) -> dict[str, int]:
    return look.copies.within if look.copies else {}


def _about(look: Look, split: str) -> str:
    part = look.splits[split]
    boxes = f", {counted(sum(part.per_class), 'box', 'boxes')}" if look.task == "detection" else ""
    return f"{counted(part.images, 'image')}{boxes}"


def _table(look: Look) -> str:
    """Images (or boxes) of each class by split."""
    head = ["class", *(SPLITS[name] for name in look.splits)]
    rows = [
        [name, *(f"{part.per_class[number]:,}" for part in look.splits.values())]
        for number, name in enumerate(look.classes)
    ]
    return table(head, rows, ("left", "right", "right", "right"))
