"""From a preset's `model` section to a network with weights."""

from typing import Any

import torch
from torch import nn

from engine.compute.models.adapt import fit_head, fit_stem
from engine.compute.models.architecture import Architecture, architecture, attached
from engine.compute.models.build import build, construct
from engine.compute.models.layout import FAILURES, settle_
from engine.compute.numerics.seeds import seed_everything
from engine.compute.pretrained.state_dict import load_into, pretrained_state
from engine.compute.pretrained.unwrap import REPLACED, Notices
from engine.compute.tasks.output import logits
from engine.compute.usercode import own_error
from engine.datasets.records import Task
from engine.errors import SecateurError, said_by
from engine.params.catalog import DETECTION, DETECTOR, is_built_in
from engine.params.preset import Model


def create(
    params: Model,
    *,
    channels: int,
    classes: int,
    size: tuple[int, int],
    seed: int,
    task: Task = "classification",
) -> tuple[nn.Module, dict[str, Any]]:
    """The preset's network with its weights, checked on one image; and what is worth knowing about it.

    The weights are random (from `seed`), torchvision's pretrained ones, or those of a file. `notices` lists what the
    user should know about a file: pairs of a level and a sentence. `new_head`: whether the weights given were for
    other classes, so that the last layer is a random one.
    """
    notices: Notices = []
    new_head = False
    if params.name.startswith(DETECTOR) != (task == "detection"):
        raise _wrong_task(params.name, task)
    arch = Architecture(params.name, channels, classes, size, dict(params.arguments), seed)
    seed_everything(seed, "model")
    if params.weights == "random":
        model = build(arch)
    elif params.weights == "pretrained":
        state, native = pretrained_state(params)
        model = construct(arch, native)
        load_into(model, state, f"the pretrained weights of {params.name}")
        fit_stem(model, channels)
        fit_head(model, classes)
        attached(model, arch)
        new_head = native != classes
    else:
        # Imported here because what is brought is compared with networks built by this module.
        from engine.compute.pretrained.bring import bring

        model, notices = bring(params, arch)
        arch = architecture(model)
        new_head = any(REPLACED in text for _, text in notices)
    if not is_built_in(arch.name):
        settle_(model, torch.zeros(2, channels, *size))
    _try_out(model, arch)
    return model, {
        "weights": params.weights,
        "architecture": arch.name,
        "notices": notices,
        "new_head": new_head,
    }


def _try_out(model: nn.Module, arch: Architecture) -> None:
    example = torch.zeros(1, arch.channels, *arch.size)
    shape = "×".join(str(n) for n in example.shape[1:])
    try:
        with torch.inference_mode():
            out = model.eval()(example)
    except FAILURES as error:
        own = own_error(error)
        raise SecateurError(
            f"Model {arch.name} can't take images of {shape}",
            own.detail if own else f"It says: {said_by(error)[0]}",
            "Correct the network, or set data.size and data.channels to what it takes."
            if own
            else "Set data.size (many torchvision models need 32 to 299 pixels) or data.channels.",
        ) from error
    if arch.name.startswith(DETECTOR):  # its output has the shape that it was built for
        return
    logits(out, example, arch.classes, arch.name, "in evaluation")


def _wrong_task(name: str, task: Task) -> SecateurError:
    needed = f"Use a detector, such as {DETECTOR}yolov8n."
    if task == "classification":
        needed = f"Use data with boxes: {' or '.join(DETECTION)}."
    return SecateurError(
        f"Model {name} is not for this data",
        "The data has boxes, and the model names the class of a whole image."
        if task == "detection"
        else "The model finds boxes, and the data has a class per image.",
        needed,
    )
