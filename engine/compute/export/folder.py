"""Writes the folder of an exported model, checks it, and only then puts it where it was asked for."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_never

from torch import nn

from engine import datasets
from engine.compute import checkpoint
from engine.compute.data import Dataset, load
from engine.compute.export.card import card, markdown
from engine.compute.export.loader import load_py
from engine.compute.export.source import TOLERANCE, Source, generate
from engine.compute.export.verify import verify
from engine.compute.runtimes import export as onnx
from engine.exports import Format, Order
from engine.files import explained, write_json

LOADER = "load.py"
PRESET = "preset.yaml"
CARD, CARD_TEXT = "card.json", "card.md"
ONNX = "model.onnx"

Tell = Callable[[str], None]
"""Takes a line about what is being done."""


def write(order: Order, tell: Tell) -> dict[str, Any]:
    """Write and check what was ordered; the card, as in its `card.json`.

    Raises SecateurError when the data are not here, the network can't be written, or the check fails: then
    nothing is left behind.
    """
    tell(f"reading the data set {order.settings.data.name}")
    data = load(order.settings.data, datasets.locate(order.settings.data, order.workspace))
    out = order.out.absolute()
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    with explained(out):
        partial.mkdir(parents=True)
        try:
            written = _write_into(partial, order, data, tell)
            _put(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return written


def _write_into(folder: Path, order: Order, data: Dataset, tell: Tell) -> dict[str, Any]:
    model = checkpoint.load(order.model)
    source, tolerance = write_model(folder, order.format, model, data, tell)
    (folder / PRESET).write_text(order.preset, "utf-8")
    tell("checking it in a process of its own, on test images")
    check = verify(folder, model, data, tolerance)
    tell(_told(check.deviation, check.images))
    found = card(order.about, order.format, data, check, source)
    found["files"] = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    write_json(folder / CARD, found)
    (folder / CARD_TEXT).write_text(markdown(found), "utf-8")
    return found


def write_model(
    folder: Path, form: Format, model: nn.Module, data: Dataset, tell: Tell
) -> tuple[Source | None, float]:
    """Write a model, as it is in a checkpoint, in one format and with what loads it; `folder` is there.

    Its source, if it has one, and how far its outputs may deviate from the model's (over the largest output).
    """
    shape = (data.channels, *data.size)
    match form:
        case "safetensors":
            plain = checkpoint.folded(model).eval()
            tell("writing the network as source")
            source = generate(plain, shape)
            checkpoint.save(plain, folder)
            weights = folder / checkpoint.TENSORS
            (folder / LOADER).write_text(load_py(source, data, weights.name, sha256(weights)), "utf-8")
            # safetensors writes for the owner alone; this file is to be given away, as far as the umask allows.
            weights.chmod((folder / LOADER).stat().st_mode)
            return source, 0.0 if source.trainable else TOLERANCE
        case "onnx":
            tell("exporting to ONNX")
            onnx.export(model, shape, folder / ONNX)
            return None, onnx.TOLERANCE
        case unknown:
            assert_never(unknown)


def _told(deviation: float, images: int) -> str:
    same = "bit for bit" if deviation == 0 else f"up to {deviation:.1e} of the largest output"
    return f"equal to the trial's model on {images} images, {same}"


def _put(partial: Path, out: Path) -> None:
    """Move the files to where they were asked for, each in one go."""
    out.mkdir(exist_ok=True)
    for file in partial.iterdir():
        file.replace(out / file.name)


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
