"""From a preset's `model` section to a network with weights."""

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from engine.compute.layers.passes import evaluating
from engine.compute.models import attributes, constructed
from engine.compute.models.adapt import fit_head, fit_stem
from engine.compute.models.architecture import Architecture, attached
from engine.compute.models.resnet import CifarResNet
from engine.compute.numerics.aligned import align_
from engine.compute.numerics.seeds import seeded
from engine.compute.usercode import load_function
from engine.compute.yolo import detector
from engine.errors import SecateurError
from engine.params.catalog import DETECTOR, is_built_in
from engine.text.phrases import names, suggest


def build(arch: Architecture, *, drawn: bool = True) -> nn.Module:
    """The network with random weights: (N, channels, H, W) → (N, classes).

    The same whenever it is built: torch's, NumPy's and Python's generators begin at the architecture's seed. Networks
    of known families are fitted to the data's channels and classes; the user's own are what their code builds.
    Without `drawn`, for who puts other weights in the place of all, those of known families are zeros instead.
    Raises SecateurError when the constructor refuses, with its reason.
    """
    known = is_built_in(arch.name) and not arch.name.startswith(DETECTOR)
    with seeded(arch.seed, "model"), nullcontext() if drawn or not known else _Undrawn():
        model = align_(construct(arch, arch.classes))
        if not is_built_in(arch.name):
            _materialize(model, arch)
            constructed.refuse_derived(model)
            constructed.keep_modes(model)
        elif not arch.name.startswith(
            DETECTOR
        ):  # made for these channels and classes; its last layer is no classifier
            fit_stem(model, arch.channels)
            fit_head(model, arch.classes)
    attributes.detach_(model)
    return attached(model, arch)


class _Undrawn(TorchFunctionMode):
    """Has tensors filled with zeros rather than random numbers, which take seconds where there are 10⁸."""

    DRAWING = frozenset(
        {
            *(nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
            *(Tensor.uniform_, Tensor.normal_, Tensor.erfinv_),
        }
    )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func not in self.DRAWING:
            return func(*args, **given)
        tensor: Tensor = args[0] if args else given["tensor"]
        with torch.no_grad():
            return tensor.zero_()


def _materialize(model: nn.Module, arch: Architecture) -> None:
    """Let lazy layers, which learn their sizes from what they are given, see an image."""
    if not any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        return
    with evaluating(model), torch.no_grad():
        model(torch.zeros(1, arch.channels, *arch.size))
    constructed.refuse_lazy(model)
    align_(model)


def construct(arch: Architecture, classes: int) -> nn.Module:
    """What the network's constructor makes, fitted to nothing: with so many classes where it takes their number."""
    try:
        if not is_built_in(arch.name):
            return _users_own(arch)
        if arch.name.startswith("torchvision/"):
            return _torchvision(arch, classes)
        if arch.name.startswith(DETECTOR):
            return detector(arch.name.removeprefix(DETECTOR), arch.channels, arch.classes, arch.size)
        depth = int(arch.name.removeprefix("resnet"))
        return CifarResNet(depth, channels=arch.channels, classes=arch.classes, **arch.arguments)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
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
    parameters = inspect.signature(function).parameters.values()
    accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unknown = next((k for k in arch.arguments if k not in accepted and not takes_any), None)
    if unknown is not None:
        meant = suggest(unknown, accepted)
        raise SecateurError(
            f"{arch.name} takes no argument {unknown}",
            f"The preset has model.arguments.{unknown}; allowed: {names(accepted) or 'none'}.",
            f"{meant[0].upper()}{meant[1:]}" if meant else "Correct model.arguments in the preset.",
        )
    arguments = {k: v for k, v in offered.items() if k in accepted or takes_any} | arch.arguments
    model = function(**arguments)
    if not isinstance(model, nn.Module):
        raise SecateurError(
            f"{arch.name} did not return a model",
            f"It returned {type(model).__name__}; a torch.nn.Module is needed.",
            "Return the network itself; weights come from model.weights.",
        )
    if isinstance(model, torch.jit.ScriptModule | nn.DataParallel) or "_orig_mod" in model._modules:
        raise SecateurError(
            f"{arch.name} returns its network wrapped",
            f"It is a {type(model).__name__}: its layers can't be changed, or go by other names.",
            "Return the network itself, neither compiled nor traced nor parallel.",
        )
    constructed.refuse_cycles(model)
    return model
