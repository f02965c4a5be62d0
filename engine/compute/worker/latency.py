"""Measures one trial's latency against its baseline's, alone on the machine, and commits the rows."""

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from engine.compute.context import Send
from engine.compute.data import Dataset
from engine.compute.export.verify import OTHER_RUNTIME_INT8, compare
from engine.compute.latency.pair import Side, becomes_quiet, measure_pair, outputs
from engine.compute.models import checkpoint
from engine.compute.models.int8 import FILE
from engine.compute.onnx import narrow
from engine.compute.onnx.shape import Shape
from engine.compute.runtimes.base import artefact
from engine.compute.worker.commit import beside_others, finish, measuring, place, read_data
from engine.errors import Unavailable
from engine.machine.runtimes import reason
from engine.measures import latency
from engine.measures.latency import NOISY_LOAD
from engine.params.preset import Latency
from engine.params.runtimes import INT8, KIND, Runtime
from engine.store.keys import key
from engine.store.objects import ARTEFACT, Store
from engine.studies import events as ev
from engine.studies.job import JobRequest
from engine.studies.plan import Node

TRIES = 3
"""Measurements of a row that is disturbed each time."""
PATIENCE_S = 3.0
"""How long the rows of a model wait, together, for others to leave the machine alone before one is tried again: where
they never do, as on a busy login node, trying again only takes time."""
SCORED_IN: Runtime = "onnxruntime"
"""What `QuantizedNetwork` runs INT8 files in."""
IMAGES = 100
"""Of the validation split, by which it is seen whether another runtime gives what was scored."""
EXPORT_VERSION = 2
"""Raised when models are exported otherwise, so that older files are not used."""


def run(request: JobRequest, send: Send) -> None:
    """Do the job's latency nodes; other studies of this host pause their computing meanwhile."""
    store = request.open_store()
    for node in request.read_nodes():
        if store.get(node.key) is None:
            _measure(node, request, store, send)


def _measure(node: Node, request: JobRequest, store: Store, send: Send) -> None:
    send(ev.StepStarted(key=node.key, kind=node.kind, pid=os.getpid()))
    started = time.monotonic()
    params = request.read_settings().measure.latency
    assert params is not None and node.parent is not None and node.baseline is not None
    named = request.models_named()
    shape = _shape(store.folder(node.parent), named)
    with beside_others(node, send):
        sides = [_side(key_, named, params, shape, store) for key_ in (node.baseline, node.parent)]
        if sides[-1].quantized and elsewhere(sides[-1], request.device):
            model = checkpoint.load(store.folder(node.parent), named)
            sides[-1] = as_scored(sides[-1], model, read_data(request), request.threads, request.device)

    with measuring(node, request, send):
        rows = _quietest(sides, params, shape, request)
    rows = [row | place() for row in rows]
    _warn(node, rows, send)
    seconds = time.monotonic() - started
    peak = max((row["peak_memory"] for row in rows if "peak_memory" in row), default=0)
    observations = {"rows": rows, "peak_memory": peak}
    with store.writing(node.key) as folder:
        finish(node, folder, store, send, seconds=seconds, measures={}, observations=observations)


def _quietest(sides: list[Side], params: Latency, shape: Shape, request: JobRequest) -> list[dict[str, Any]]:
    """The rows of `params`; one that others disturbed is measured again once they are quiet, the quietest is kept."""

    def measured(which: Latency) -> list[dict[str, Any]]:
        return measure_pair(*sides, params=which, shape=shape, threads=request.threads, device=request.device)

    rows = measured(params)
    deadline = time.monotonic() + PATIENCE_S
    for number, row in enumerate(rows):
        for _ in range(TRIES - 1):
            if _load(rows[number]) <= NOISY_LOAD or not becomes_quiet(NOISY_LOAD, deadline):
                break
            again = [one for one in measured(_only(row, params)) if "unavailable" not in one]
            rows[number] = min([rows[number], *again], key=_load)
    return rows


def _load(row: dict[str, Any]) -> float:
    load: float = row.get("foreign_load", 0.0)
    return load


def _only(row: dict[str, Any], params: Latency) -> Latency:
    """What measures this row and no other."""
    precision = params.precision if row["precision"] == INT8 else (row["precision"],)
    threads = params.threads and (row["threads"],)
    place = {"runtimes": (row["runtime"],), "batch": (row["batch"],)}
    return params.model_copy(update=place | {"precision": precision, "threads": threads})


def _warn(node: Node, rows: list[dict[str, Any]], send: Send) -> None:
    """Say what a reader of the numbers must know: that others disturbed them, that it did not pay."""
    worst = max(map(_load, rows))
    if worst > NOISY_LOAD:
        text = (
            f"Latency was measured while other programs took {worst:.0%} of the processors' time, and they did not "
            "stop: when the machine is quiet, `secateur resume STUDY --remeasure` does it again"
        )
        send(ev.Notice(level="warning", text=text, key=node.key))
    for text in latency.slower_texts(latency.measured({"latency": rows})):
        send(ev.Notice(level="warning", text=text, key=node.key))


def _shape(folder: Path, named: tuple[str, ...]) -> Shape:
    arch = checkpoint.architecture_in(folder, named)
    return (arch.channels, *arch.size)


def _side(parent: str, named: tuple[str, ...], params: Latency, shape: Shape, store: Store) -> Side:
    """What each runtime opens: the step's own checkpoint, or a file made from it once and kept."""
    folder = store.verified(parent).folder
    artefacts: dict[Runtime, Path] = {}
    refused: dict[Runtime, str] = {}
    for runtime in params.runtimes:
        try:
            artefacts[runtime] = (
                folder if KIND[runtime].reads == "folder" else _exported(parent, named, shape, store)
            )
        except Unavailable as error:
            refused[runtime] = error.reason
    return Side(artefacts, refused, quantized=(folder / FILE).is_file(), named=named)


def elsewhere(side: Side, device: str) -> list[Runtime]:
    """The runtimes that can open an INT8 file here, but for the one that it is scored in."""
    return [one for one in side.artefacts if one != SCORED_IN and not reason(one, "fp32", device)]


def as_scored(side: Side, model: nn.Module, data: Dataset, threads: int, device: str) -> Side:
    """The INT8 file of `model` without the runtimes that make another model of it than was scored, as OpenVINO does of
    some transformers: what they take for it is no answer."""
    pixels = data.validation.images.gather(data.validation.spread(IMAGES))
    images = data.normalize(pixels, channels_last=False)
    with torch.inference_mode():
        expected = torch.cat([model(image) for image in torch.split(images, 1)])
    classes = expected.argmax(1) if data.task == "classification" else None
    refused = dict(side.refused)
    for runtime in elsewhere(side, device):
        with contextlib.suppress(Unavailable):  # which is told where it is measured
            shape = (data.channels, *data.size)
            given = outputs(side, runtime, images, shape=shape, threads=threads, device=device)
            found = compare(given, expected, classes, OTHER_RUNTIME_INT8.deviation)
            if not found.keeps(OTHER_RUNTIME_INT8):
                refused[runtime] = f"it makes another model of the INT8 file than was scored: {found}"
    return replace(side, refused=refused)


def _exported(parent: str, named: tuple[str, ...], shape: Shape, store: Store) -> Path:
    """The ONNX file that both ONNX Runtime and OpenVINO open."""
    versions = {"torch": torch.__version__, "onnx": onnx.__version__}
    material = {
        "kind": ARTEFACT,
        "version": EXPORT_VERSION,
        "lanes": narrow.lanes(),
        "runtime": "onnxruntime",
        "parent": parent,
        **versions,
    }
    own = key(material)
    store.note_use(own)
    stored = store.get(own)
    if stored is None or store.damage(own):
        if stored is not None:
            store.set_aside(own)
        model = checkpoint.load(store.folder(parent), named)
        with store.writing(own) as folder:
            file = artefact("onnxruntime", model, shape, folder, templates=store.templates)
            stored = store.commit(
                own, folder, kind=ARTEFACT, material=material, measures={}, observations={"file": file.name}
            )
    name: str = stored.observations["file"]
    return stored.folder / name
