"""From a preset's `model` section to a network with weights."""

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.data.dataset import Task
from engine.compute.models.fit import fit_head, fit_stem
from engine.compute.models.resnet import CifarResNet
from engine.compute.models.unwrap import Told
from engine.compute.models.weights import load_into, pretrained_state
from engine.compute.seeds import seed_everything
from engine.compute.usercode import load_function
from engine.compute.yolo import detector
from engine.errors import SecateurError
from engine.params.catalog import DETECTION, DETECTOR
from engine.params.preset import Model

_ATTRIBUTE = "secateur_architecture"


@dataclass(frozen=True)
class Architecture:
    """How to build a network anew, without its weights: what `model.json` records."""

    name: str
    channels: int
    classes: int
    size: tuple[int, int]
    arguments: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"size": list(self.size)}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> "Architecture":
        return Architecture(**(data | {"size": tuple(data["size"])}))


def architecture(model: nn.Module) -> Architecture:
    """The architecture that `build` made `model` from."""
    found = getattr(model, _ATTRIBUTE)
    assert isinstance(found, Architecture)
    return found


def build(arch: Architecture) -> nn.Module:
    """The network with random weights: (N, channels, H, W) → (N, classes).

    Raises SecateurError when the constructor refuses, with its reason.
    """
    model = _construct(arch, arch.classes)
    if arch.name.startswith(DETECTOR):  # made for these channels and classes; its last layer is no classifier
        return attached(model, arch)
    fit_stem(model, arch.channels)
    fit_head(model, arch.classes)
    return attached(model, arch)


def attached(model: nn.Module, arch: Architecture) -> nn.Module:
    """`model`, which from now on says that `arch` is how to build it."""
    setattr(model, _ATTRIBUTE, arch)
    return model


def _construct(arch: Architecture, classes: int) -> nn.Module:
    try:
        if arch.name.startswith("torchvision/"):
            return _torchvision(arch, classes)
        if arch.name.startswith(DETECTOR):
            return detector(arch.name.removeprefix(DETECTOR), arch.channels, arch.classes, arch.size)
        if arch.name.startswith("resnet"):
            return CifarResNet(
                int(arch.name[6:]), channels=arch.channels, classes=arch.classes, **arch.arguments
            )
        return _users_own(arch)
    except (TypeError, ValueError) as error:
        raise SecateurError(
            f"Model {arch.name} can't be built",
            f"Its constructor says: {error}",
            "Check model.arguments in the preset.",
        ) from error


def _torchvision(arch: Architecture, classes: int) -> nn.Module:
    import torchvision

    name = arch.name.removeprefix("torchvision/")
    arguments: dict[str, Any] = {"num_classes": classes, **arch.arguments}
    accepted = inspect.signature(torchvision.models.get_model_builder(name)).parameters
    if name in ("googlenet", "inception_v3"):  # the auxiliary heads change the output's type
        arguments = {"aux_logits": False, "init_weights": True, **arguments}
    if name.startswith("vit_"):
        arguments = {"image_size": arch.size[0], **arguments}
    if "input_size" in accepted or name.startswith("maxvit"):
        arguments = {"input_size": arch.size, **arguments}
    model: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    return model


def _users_own(arch: Architecture) -> nn.Module:
    function = load_function(arch.name, "model")
    offered = {"channels": arch.channels, "classes": arch.classes, "size": arch.size}
    accepted = inspect.signature(function).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    arguments = {k: v for k, v in offered.items() if k in accepted or takes_any} | arch.arguments
    model = function(**arguments)
    if not isinstance(model, nn.Module):
        raise SecateurError(
            f"{arch.name} did not return a model",
            f"It returned {type(model).__name__}; a torch.nn.Module is needed.",
            "Return the network itself; weights come from model.weights.",
        )
    return model


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

    The weights are random (from `seed`), torchvision's pretrained ones, or those of a file. `told` lists what the
    user should know about a file: pairs of a level and a sentence. `new_head`: whether the weights given were for
    other classes, so that the last layer is a random one.
    """
    told: Told = []
    new_head = False
    if params.name.startswith(DETECTOR) != (task == "detection"):
        raise _wrong_task(params.name, task)
    arch = Architecture(params.name, channels, classes, size, dict(params.arguments))
    seed_everything(seed, "model")
    if params.weights == "random":
        model = build(arch)
    elif params.weights == "pretrained":
        state, native = pretrained_state(params)
        model = _construct(arch, native)
        load_into(model, state, f"the pretrained weights of {params.name}")
        fit_stem(model, channels)
        fit_head(model, classes)
        attached(model, arch)
        new_head = native != classes
    else:
        # Imported here because what is brought is compared with networks built by this module.
        from engine.compute.models.brought import REPLACED, bring

        model, told = bring(params, arch)
        arch = architecture(model)
        new_head = any(REPLACED in text for _, text in told)
    _try_out(model, arch)
    return model, {
        "weights": params.weights,
        "architecture": arch.name,
        "told": told,
        "new_head": new_head,
    }


def _try_out(model: nn.Module, arch: Architecture) -> None:
    example = torch.zeros(1, arch.channels, *arch.size)
    shape = "×".join(str(n) for n in example.shape[1:])
    try:
        with torch.inference_mode():
            out = model.eval()(example)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise SecateurError(
            f"Model {arch.name} can't take images of {shape}",
            f"It says: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
            "Set data.size (many torchvision models need 32 to 299 pixels) or data.channels.",
        ) from error
    if arch.name.startswith(DETECTOR):  # its output has the shape that it was built for
        return
    if not isinstance(out, Tensor) or out.shape != (1, arch.classes):
        got = f"a tensor of {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise SecateurError(
            f"Model {arch.name} does not classify into {arch.classes} classes",
            f"For one image it gave {got}; a tensor of (1, {arch.classes}) is needed.",
            "Let the function take `classes` and use it for its last layer.",
        )


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
