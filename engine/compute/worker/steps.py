"""Does a job: computes each of its nodes from its parent and commits the result to the store."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.context import Context, Send, to_device, validate
from engine.compute.data import Dataset
from engine.compute.layers.copies import copied
from engine.compute.measures import classes
from engine.compute.measures.counts import Counts, count
from engine.compute.memory import peak_bytes, reset_peak
from engine.compute.models import checkpoint
from engine.compute.models.int8 import torch_part
from engine.compute.models.sizes import of_model
from engine.compute.numerics.aligned import read_tensors, write_tensors
from engine.compute.numerics.group import Group
from engine.compute.numerics.seeds import seed_everything
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.compute.steps.distillation.step import teach
from engine.compute.stopping import Stopping
from engine.compute.tasks import task_of
from engine.compute.tasks.base import Score
from engine.compute.tasks.evaluate import score
from engine.compute.worker.commit import alone, computing, finish, read_data, weights_as_planned
from engine.params import Distill, QuantizeQat, Step
from engine.params.preset import Settings
from engine.params.training import Fit
from engine.results.guessing import OBSERVED
from engine.store.files import CLASSES, LAYERS, MEASUREMENTS, write_json
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.job import JobRequest
from engine.studies.plan import Node

PREDICTIONS = "predictions.safetensors"


@dataclass
class Held:
    """The model in memory, the key of the step that made it, and its validation score once that is known."""

    key: str | None = None
    model: nn.Module | None = None
    validation: Score | None = None

    def take(self, key: str, model: nn.Module, validation: Score | None = None) -> None:
        self.key, self.model, self.validation = key, model, validation


@dataclass
class Work:
    """One job in progress."""

    request: JobRequest
    settings: Settings
    store: Store
    data: Dataset
    device: torch.device
    send: Send
    stopping: Stopping
    held: Held
    together: Callable[[str], Group | None]
    """Has other processes do a training with this one, by its key."""


def run(
    request: JobRequest,
    send: Send,
    stopping: Stopping,
    together: Callable[[str], Group | None] = lambda _: None,
) -> None:
    """Compute every node of the job that the store does not hold yet; raises Stopped when it is asked to stop.

    Computing holds the host's shared lock, so that no latency is measured meanwhile; a step that measures times itself
    holds the exclusive one, from its start to its end or for the part that is timed.
    """
    settings = request.read_settings()
    data = read_data(request)
    device = torch.device(request.device)
    work = Work(request, settings, request.open_store(), data, device, send, stopping, Held(), together)
    for node in request.read_nodes():
        if work.store.get(node.key) is not None:
            continue
        send(ev.StepStarted(key=node.key, kind=node.kind, pid=os.getpid()))
        with computing(node, request, send):
            reset_peak()
            _compute(node, work, time.monotonic())


def helper(request: JobRequest, group: Group) -> Callable[[str], None]:
    """What does the training of a key with the worker whose job it is; all but the computing is left to that."""
    work = Work(
        request,
        request.read_settings(),
        request.open_store(),
        read_data(request),
        torch.device(request.device),
        lambda _: None,
        Stopping(),
        Held(),
        lambda _: group,
    )
    nodes = {node.key: node for node in request.read_nodes()}

    def train(key: str) -> None:
        # Nothing is held from the training before: what it left in memory is not what the worker kept of it.
        _applied(nodes[key], replace(work, held=Held()))

    return train


def _compute(node: Node, work: Work, started: float) -> None:
    epochs: list[dict[str, Any]] = []
    work = replace(work, send=_keeping_epochs(work.send, epochs))
    applied = None if node.kind == "measure" else _applied(node, work)
    # Not before: a folder that nothing is written to for days is swept as a killed process's, and steps may take weeks.
    with work.store.writing(node.key) as folder:
        measures, observed = (
            _measure(node, work, folder) if applied is None else _step(node, applied, work, folder)
        )
        finish(
            node,
            folder,
            work.store,
            work.send,
            seconds=time.monotonic() - started,
            measures=measures,
            observations={"peak_memory": peak_bytes(work.device), **observed},
            kept={"epochs": epochs},
        )


def _keeping_epochs(send: Send, epochs: list[dict[str, Any]]) -> Send:
    """`send` that also notes every epoch, so that a study which reuses the result can draw its training."""

    def keep(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished):
            epochs.append(ev.as_dict(event))
        send(event)

    return keep


Found = tuple[dict[str, Any], dict[str, Any]]
"""Measures, and what was observed beside them."""
Applied = tuple[nn.Module, Step | None, Context]
"""The model after a step, the step, and what it was done with."""


def _step(node: Node, applied: Applied, work: Work, folder: Path) -> Found:
    """Write the checkpoint and validation predictions of a step that was done; its cheap measures."""
    model, step, context = applied
    to_device(model, work.device).eval()
    # A step that only trains has just scored the model that it leaves; quantize.qat compares its file's score.
    known = context.scored if isinstance(step, Fit | QuantizeQat) else None
    validation = known or validate(model, context)
    again = checkpoint.save(model, folder)
    write_tensors({"validation": validation.predictions}, folder / PREDICTIONS)
    if recorded := context.recorded():
        write_json(folder / MEASUREMENTS, recorded)
    # What loads back goes on, not what was saved: so no step can tell whether its job began with it.
    work.held.take(node.key, to_device(again, work.device), validation)
    measures = _cheap(validation, _counts(model, work)) | context.observations
    if node.baseline is not None:
        before = _predictions(work.store, node.baseline)["validation"]
        measures |= _agreement(validation, before, work)
    if node.teacher is not None:
        before = _predictions(work.store, node.teacher)["validation"]
        measures |= _agreement(validation, before, work, "teacher_agreement")
    return measures, _guessing(validation, work)


def _guessing(validation: Score, work: Work) -> dict[str, Any]:
    guesses = work.data.task == "classification" and classes.guessed(
        validation.predictions, work.data.validation.labels
    )
    return {OBSERVED: True} if guesses else {}


def _applied(node: Node, work: Work) -> Applied:
    """Do a step."""
    context = _context(node, work)
    model = _parent(node, work)
    step = None if node.kind in ("model", "teacher") else work.request.read_step(node.key)
    # For a user's network that draws from NumPy or Python: so a step depends on nothing that ran before it.
    seed_everything(context.seed, "step", node.position)
    if step is not None:
        context.teacher = _taught_by(node, work)
        if isinstance(step, Fit):
            context.group = work.together(node.key)
        model = apply(step, model, context)
    return model, step, context


def _taught_by(node: Node, work: Work) -> nn.Module | None:
    if node.teacher is None:
        return None
    return to_device(_stored(node.teacher, work), work.device).eval()


def _stored(key: str, work: Work) -> nn.Module:
    return checkpoint.load(work.store.verified(key).folder, work.request.models_named())


def _context(node: Node, work: Work) -> Context:
    seed = work.settings.seeds[0]
    partial = work.store.partial(node.key)
    return Context(
        work.data,
        work.device,
        seed,
        node.position,
        node.key,
        partial,
        work.send,
        templates=work.store.templates,
        stopping=work.stopping,
        alone=lambda: alone(node, work.request, work.send),
    )


def _parent(node: Node, work: Work) -> nn.Module:
    """The model a node starts from: the one in memory, one from the store, or a new one."""
    if node.kind == "teacher":
        step = work.request.read_step(node.key)
        assert isinstance(step, Distill)
        with weights_as_planned(work.request):
            return teach(step, _context(node, work))
    if node.parent is None:
        with weights_as_planned(work.request):
            model, facts = create(
                work.settings.model,
                channels=work.data.channels,
                classes=work.data.classes,
                size=work.data.size,
                seed=work.settings.seeds[0],
                task=work.data.task,
            )
        for level, text in facts["notices"]:
            work.send(ev.Notice(level=level, text=text, key=node.key))
        return model
    if work.held.key != node.parent or work.held.model is None:
        model = to_device(_stored(node.parent, work), work.device)
        work.held.take(node.parent, model)
    assert work.held.model is not None
    return work.held.model


def _counts(model: nn.Module, work: Work) -> Counts:
    return count(torch_part(model), (work.data.channels, *work.data.size))


def _cheap(validation: Score, counts: Counts) -> dict[str, Any]:
    return {
        **{f"validation_{name}": value for name, value in validation.measures.items()},
        **_known("validation_loss", validation.loss),
        **counts.measures,
    }


def _known(name: str, value: float | None) -> dict[str, float]:
    """The measure, for tasks and models that have it."""
    return {} if value is None else {name: value}


def _measure(node: Node, work: Work, folder: Path) -> Found:
    """The trial's final measures: the one time that its model meets the test split, if it is to meet it at all."""
    # A copy: passes may change what a network keeps, and the next trial goes on from this model.
    model = copied(_parent(node, work))
    tested = "splits" not in node.material
    test = score(model, work.data, work.data.test, work.device) if tested else None
    validation = work.held.validation or validate(model, _context(node, work))
    if node.baseline is None and work.data.notice:
        work.send(ev.Notice(level="warning", text=work.data.notice, key=node.key))
    counts = _counts(model, work)
    (folder / LAYERS).write_text(json.dumps(counts.as_dict()["layers"], indent=1))
    found = (
        _on_test(node, test, validation, work, folder)
        if test
        else _on_validation(node, validation, work, folder)
    )
    measures = found | _cheap(validation, counts)
    if work.data.left_out:
        measures["images_left_out"] = work.data.left_out
    if node.material["size"]:
        measures["size"] = of_model(model)
    return measures, {}


def _on_validation(node: Node, validation: Score, work: Work, folder: Path) -> dict[str, Any]:
    """What only a choice among many is made by: the test split stays unseen."""
    write_tensors({"validation": validation.predictions}, folder / PREDICTIONS)
    found: dict[str, Any] = {"validation_images": len(work.data.validation.labels)}
    if node.baseline is not None:
        before = _predictions(work.store, node.baseline)["validation"]
        found |= _agreement(validation, before, work, "validation_agreement")
    return found


def _on_test(node: Node, test: Score, validation: Score, work: Work, folder: Path) -> dict[str, Any]:
    """The model's score on the test split, and its answers there beside others'."""
    before = test.predictions
    if node.baseline is not None:
        before = _predictions(work.store, node.baseline)["test"]
    write_tensors({"validation": validation.predictions, "test": test.predictions}, folder / PREDICTIONS)
    if work.data.task == "classification":
        found = classes.as_dict(test.predictions, work.data.test.labels, work.data.class_names)
        (folder / CLASSES).write_text(json.dumps(found))
    measures: dict[str, Any] = {
        **test.measures,
        **test.beside,
        **_known("loss", test.loss),
        **_agreement(test, before, work),
    }
    return measures | _beside(node, test, work)


def _beside(node: Node, test: Score, work: Work) -> dict[str, float]:
    """The trial's model against its teacher, and against the same model without one."""
    measures: dict[str, float] = {}
    if node.teacher is not None and (teacher := work.store.get(node.teacher)):
        before = _predictions(work.store, node.teacher)["test"]
        measures |= _agreement(test, before, work, "teacher_agreement")
        measures["teacher_accuracy"] = teacher.measures["accuracy"]
    if node.control is not None and (control := work.store.get(node.control)):
        measures["distillation_gain"] = test.accuracy - control.measures["accuracy"]
    return measures


def _agreement(after: Score, before: Tensor, work: Work, name: str = "agreement") -> dict[str, float]:
    """Agreement with the predictions `before`, for tasks that have such a measure."""
    return _known(name, task_of(work.data).agreement(after.predictions, before))


def _predictions(store: Store, key: str) -> dict[str, Tensor]:
    return read_tensors(store.verified(key).folder / PREDICTIONS)
