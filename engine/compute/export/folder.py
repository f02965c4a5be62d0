"""Writes the folder of an exported model, checks it, and only then puts it where it was asked for."""

import contextlib
from pathlib import Path
from typing import Any

from engine import datasets, sources
from engine.compute import usercode
from engine.compute.data import load
from engine.compute.data.words import seen
from engine.compute.export.card import card, markdown
from engine.compute.export.formats import Tell, write_model
from engine.compute.export.verify import verify
from engine.compute.models import checkpoint
from engine.errors import SecateurError
from engine.machine import private
from engine.results.exports import Order
from engine.store.files import writing
from engine.store.keys import file_hash
from engine.store.workspace import fingerprints, shared_store
from engine.text.visible import json_text

PRESET = "preset.yaml"
CARD, CARD_TEXT = "card.json", "card.md"


def write(order: Order, tell: Tell) -> dict[str, Any]:
    """Write and check what was ordered; the card, as in its `card.json`.

    Raises SecateurError when the data are not here, the network can't be written, or the check fails: then
    nothing is left behind.
    """
    out = order.out.absolute()
    with contextlib.ExitStack() as folders:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            partial = folders.enter_context(private.beside(out))
        written = _write_into(partial, order, tell)
        with writing(out):
            _put(partial, out)
    return written


def _write_into(folder: Path, order: Order, tell: Tell) -> dict[str, Any]:
    usercode.use(sources.read(order.code))
    tell(f"reading the data set {order.settings.data.name}")
    place = datasets.locate(order.settings.data, order.workspace)
    # Normalization and names of classes are written from them: those that the network was trained with.
    data = load(order.settings.data, place, fingerprint=order.data, cache=fingerprints(order.workspace))
    model = checkpoint.load(order.model, [order.settings.model.name])
    _check_files(order)
    with writing(order.out):
        templates = shared_store(order.workspace).templates
        written = write_model(folder, order.format, model, data, tell, templates)
        (folder / PRESET).write_text(order.preset, "utf-8")
    tell("checking it in a process of its own, on test images")
    check = verify(folder, written.needs, model, data, written.tolerance)
    tell(str(check))
    texts = [*([data.notice] if data.notice else []), *seen(data, order.settings.model.weights)]
    remarks = [
        *order.about["remarks"],
        *({"remark": "data", "text": f"{data.name}: {text}"} for text in texts),
    ]
    written_card = card(order.about | {"remarks": remarks}, order.format, data, check, written)
    written_card["files"] = {file.name: file_hash(file) for file in sorted(folder.iterdir())}
    with writing(order.out):
        (folder / CARD).write_text(json_text(written_card, 1) + "\n", "utf-8")
        (folder / CARD_TEXT).write_text(markdown(written_card), "utf-8")
    return written_card


def _check_files(order: Order) -> None:
    """Once more after reading: what was read has to be what was looked at before, and what was measured."""
    for name, digest in order.files.items():
        if file_hash(order.model / name) != digest:
            raise SecateurError(
                "The model changed while it was exported",
                f"{order.model / name} is not what was measured.",
                "Nothing was written. `secateur resume` computes it again.",
            )


def _put(partial: Path, out: Path) -> None:
    """Move the files to where they were asked for, each in one go."""
    out.mkdir(exist_ok=True)
    for file in partial.iterdir():
        file.replace(out / file.name)
