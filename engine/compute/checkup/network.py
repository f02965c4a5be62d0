"""The check-up of one network: built, run on real images, kept and read back, exported, before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute import usercode
from engine.compute.checkup import passes
from engine.compute.context import Context, to_device
from engine.compute.data import Dataset
from engine.compute.data.words import seen
from engine.compute.layers import foreign
from engine.compute.layers.copies import copied, layers_in
from engine.compute.layers.passes import evaluating, single_valued_norms
from engine.compute.layers.select import check_named, check_skip, left
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, torch_part
from engine.compute.models.keepable import assert_copyable, assert_keepable
from engine.compute.models.layout import layout_of
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.distillation import features
from engine.compute.steps.fits import Fits
from engine.compute.steps.pruning.blocks import check_keep
from engine.compute.steps.pruning.stand_ins import stand_ins
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.onnx_training import parse
from engine.compute.tasks import task_of
from engine.errors import OutOfReach, SecateurError, Unavailable, UsageError, sentences
from engine.machine import private
from engine.params import Step, step_of
from engine.params.catalog import own_code
from engine.params.preset import Model
from engine.text.phrases import counted, listed

IMAGES = 4
"""Images that a network is tried with: enough to tell it from one, and seconds for the largest."""


@dataclass(frozen=True)
class Tried:
    """Where and with what a network is tried: see `engine.studies.checkup.jobs` for `wanted`."""

    data: Dataset
    device: torch.device
    seed: int
    templates: Path
    wanted: dict[str, Any]

    @property
    def model(self) -> Model:
        return Model.model_validate(self.wanted["model"])

    @property
    def name(self) -> str:
        """What messages and notes call the network: of the user's own, the file without its folders."""
        return PurePath(self.model.title).name if own_code(self.model.title) else self.model.title


def check(tried: Tried) -> dict[str, Any]:
    """What the network is, in a line, and notes on it. Raises UsageError for one that the study can't work with."""
    try:
        return _checked(tried)
    except Unavailable as error:
        raise UsageError.of(error) from error


def _checked(tried: Tried) -> dict[str, Any]:
    data, name = tried.data, tried.name
    with usercode.watched() as watch:
        network, facts = create(
            tried.model,
            channels=data.channels,
            classes=data.classes,
            size=data.size,
            seed=tried.seed,
            task=data.task,
        )
    if own_code(tried.model.title):
        assert_copyable(network)  # before anything else is tried: passes and steps fail on it in other words
    _check_new_head(tried, facts)
    _check_layers(network, tried.wanted["layers"])
    if tried.wanted["batches"]:
        _check_trainable(network, name)
    model = to_device(network, tried.device)
    images, targets = _batch(tried, IMAGES, model)
    notes = [*watch.notes, *seen(data, tried.model.weights)]
    if data.task == "classification":
        notes += passes.evaluate(model, images, data.classes, name)
    if own_code(tried.model.title):
        passes.refuse_transforms(model, images, name)
    if tried.wanted["batches"] and not isinstance(model, QuantizedNetwork):
        notes += _trained(tried, model, images, targets)
    context = Context(data, tried.device, tried.seed, 0, "", Path(), lambda _event: None)
    fits = Fits(lambda: _compressible(model), images, context)
    if not isinstance(model, QuantizedNetwork):
        notes += _check_fits(fits, tried.wanted["fits"])
    notes += fits.out_of_reach()
    _check_passed(model, tried.wanted["layers"], images)
    if layout_of(model) != torch.channels_last:
        notes.append("it computes in contiguous layout, which its code needs; channels last would be faster")
    if own_code(tried.model.title):
        assert_keepable(model, images)
        notes += _unseen(model)
    with private.scratch() as folder:
        notes += _exported(tried, checkpoint.save(model, folder), folder)
    counts = count(torch_part(model), (data.channels, *data.size))
    shape = "×".join(map(str, (data.channels, *data.size)))
    text = f"{shape} → {counted(data.classes, 'class', 'classes')}, {counts.parameters:,} parameters"
    return {"name": name, "text": text, "notes": notes}


def _unseen(model: nn.Module) -> list[str]:
    """A note on layers in plain lists, dictionaries and functions: torch does not know that they are part of the
    network."""
    own = set(map(id, model.parameters()))
    names = []
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if any(id(weight) not in own for layer in layers_in(value) for weight in layer.parameters()):
                names.append(f"{name}.{attribute}" if name else attribute)
    if not names:
        return []
    return [
        f"layers in {listed(names)}, held by a plain list, a dictionary or a function, are neither trained nor "
        "counted, as torch does not see them: use nn.ModuleList, nn.ModuleDict or a module of your own"
    ]


def _check_trainable(model: nn.Module, name: str) -> None:
    """Raises UsageError for parameters in float16, whose updates vanish or overflow within a few batches."""
    half = [
        path for path, one in model.named_parameters() if one.requires_grad and one.dtype == torch.float16
    ]
    if half:
        raise UsageError(
            f"{name} can't be trained in float16",
            f"{counted(len(half), 'parameter')} {'is' if len(half) == 1 else 'are'}: {listed(half)}.",
            "Build it in float32 (`.float()`); `precision: bf16` of a training computes in 16 bits, and "
            "`quantize.half` keeps 16 bits in the end.",
        )


def _check_new_head(tried: Tried, facts: dict[str, Any]) -> None:
    if facts["new_head"] and tried.wanted["teaches"] and not tried.wanted["batches"]:
        raise UsageError(
            f"The teacher {tried.name} tells other classes apart than the data's {tried.data.classes}",
            "Its last layer would be a random one.",
            "Train it on the data first: teacher.train: {epochs: …}, or use weights that were.",
        )


def _check_layers(model: nn.Module, named: list[tuple[str, str, list[str]]]) -> None:
    """Raises SecateurError for a layer that a step names and the network has neither as it is nor as `prune.channels`
    takes it apart.
    """
    if not named:
        return
    prepared = copied(model)
    prepare_for_channels(prepared)
    layers = dict(model.named_modules()) | dict(prepared.named_modules())
    for step, parameter, names in named:
        if parameter == "skip":
            check_skip(layers, tuple(names), step)
            _check_left(layers, tuple(names), step)
            continue
        if parameter == "layers":
            check_named(layers, names, step)
            continue
        missing = [name for name in names if name not in layers]
        if missing:
            raise UsageError(
                f"{step}.{parameter} names no layer: {missing[0]}",
                f"The network has {listed([layer for layer in layers if layer])}.",
                "Use the names of layers that both networks have, or STUDENT=TEACHER.",
            )


def _compressible(model: nn.Module) -> nn.Module:
    """The network as steps find it that compress: the weights that its own code computes are plain."""
    plain = copied(model)
    foreign.plain_(plain)
    return plain


def _check_fits(
    fits: Fits, wanted: list[tuple[list[dict[str, Any]], bool, str, dict[str, Any]]]
) -> list[str]:
    """Notes on steps that may find too little to do behind others. Raises SecateurError for those that surely do."""
    notes = []
    for before, sure, kind, values in wanted:
        step, there = step_of({"kind": kind, **values}), fits
        changed = [step_of(one) for one in before]
        for earlier in changed:
            there = there.behind(earlier)
        try:
            there.check(step)
        except SecateurError as error:
            refused = _of_step(step, changed, error)
            if sure:
                raise refused from error
            notes.append(
                f"{step.address} may be refused, depending on what training makes of the layers before it: "
                f"{refused.sentence}"
            )
    return notes


def _of_step(step: Step, changed: Sequence[Step], error: SecateurError) -> SecateurError:
    """What a check said of a step behind those that changed the network's layers, as the preset calls them."""
    addresses = listed([one.address for one in changed])
    behind = f"That is said of the network's layers behind {addresses}." if changed else ""
    detail = sentences(error.detail, behind)
    if not isinstance(error, OutOfReach):
        return SecateurError(error.title, detail, error.remedy)
    title = f"{step.address}.{error.title}"  # called as the preset and its sweep call it
    return OutOfReach(error.field, error.most, title, detail, error.remedy)


def _check_passed(model: nn.Module, named: list[tuple[str, str, list[str]]], images: Tensor) -> None:
    """Check names that only a pass can tell to be right: of blocks (`keep`), and of layers that give feature maps."""
    for _, parameter, names in named:
        if parameter == "keep":
            with evaluating(model):
                check_keep(stand_ins(model, [images]), names)
        elif parameter == "method.layers":
            features.check_maps(features.outputs(model, images[:1]), names)


def _check_left(layers: dict[str, nn.Module], names: tuple[str, ...], step: str) -> None:
    if not left(layers, names):
        raise UsageError(
            f"{step}.skip leaves no layer",
            f"{', '.join(names)} name every layer that the network has.",
            "Shorten skip, or leave the step out.",
        )


def _batch(tried: Tried, size: int, model: nn.Module) -> tuple[Tensor, Tensor]:
    """The first training images with their targets, in the network's memory layout."""
    order = torch.arange(min(size, len(tried.data.train)))
    images, targets = next(tried.data.batches(tried.data.train, size, order=order, device=tried.device))
    return images.contiguous(memory_format=layout_of(model)), targets


def _trained(tried: Tried, model: nn.Module, images: Tensor, targets: Tensor) -> list[str]:
    """Try a training step of each size of batch that there will be; notes on images or outputs that training leaves
    out."""
    data, name = tried.data, tried.name
    task = task_of(data)
    notes = []
    if any(batch > 1 for batch in tried.wanted["batches"]):
        if data.task == "classification":
            notes += passes.auxiliary(model, images, data.classes, name)
        passes.train(model, images, targets, task, name)
    for batch in tried.wanted["batches"]:
        if batch > 1 and len(data.train) % batch == 1:
            notes.append(
                f"the last of {len(data.train)} training images makes no batch of its own: with batches of "
                f"{batch}, one image of each epoch, another every time, is left out"
            )
    if 1 in tried.wanted["batches"]:
        with single_valued_norms(model, images[:1]) as norms:
            passes.train(model, images[:1], targets[:1], task, name)
        if norms:
            notes.append(
                f"in batches of one image {listed(list(norms))} have one value a channel: they normalize by their "
                "running statistics, which stay as they are"
            )
    return notes


def _exported(tried: Tried, model: nn.Module, folder: Path) -> list[str]:
    """Writes the ONNX file that latencies and INT8 need. Raises SecateurError where a step can't do without it."""
    if not tried.wanted["onnx"] or isinstance(model, QuantizedNetwork):
        return []
    shape = (tried.data.channels, *tried.data.size)
    try:
        artefact("onnxruntime", model, shape, folder, templates=tried.templates)
    except Unavailable as error:
        if tried.wanted["onnx"] != "may":
            raise
        return [f"no latency in runtimes that read ONNX files: {error.reason}"]
    if tried.wanted["onnx"] == "trained":
        graph = float_graph(model, shape, tried.templates)
        parse.read(graph, graph)
    return []
