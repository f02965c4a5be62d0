"""Which layers compute what their class says, tried on real images: steps change these and report the others.

A subclass may pad its input, standardize its weight or scale its output in a forward of its own; a hook may change
input or output; two layers may share a weight. The attributes of such a layer do not tell what it computes.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.context import Context
from engine.compute.layers.passes import evaluating, taken_by
from engine.compute.layers.select import leaf_of, replace, weight_of
from engine.compute.layers.shared import SharedConv2d
from engine.compute.measures.products import Products, unfused_attention
from engine.compute.models.architecture import architecture, is_attached
from engine.compute.models.layout import FAILURES
from engine.compute.models.tensors import STATISTICS
from engine.compute.steps.calibration.activations import images
from engine.errors import SecateurError
from engine.text.phrases import listed

TRIED = 2
"""Images that layers are looked at on."""
TOLERANCE = 1e-4
"""Largest difference from what the class computes, over the largest output: rounding is far below it."""

VALUES = ("weight", "bias", *STATISTICS)
"""The attributes that change where a layer stays and its values become others."""

Reasons = dict[str, str]
"""Why a layer is left alone, by its name."""

Instead = Callable[[str, nn.Module, Tensor], Tensor | None]
"""What a lossless replacement of a layer (name, module) would compute for an input; None where it fails."""

Lost = Callable[[str], bool]
"""Whether the step removes or changes this attribute of a layer."""


def changeable(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    context: Context,
    step: str,
    named: Collection[str] = (),
) -> dict[str, nn.Module]:
    """Those of `layers` whose weights `step` may change; a notice names the others.

    Raises SecateurError when none is left, or one of those `named` by hand is not.
    """
    reasons = reasons_against(model, layers, context)
    refuse_named(reasons, named, step)
    if reasons and len(reasons) == len(layers):
        raise SecateurError(
            f"No layer can be changed by {step}",
            f"Each computes something else than its class says, or shares its weight: {_sentences(reasons)}.",
            f"Leave {step} out, or use layers of torch.nn as they are, each with a weight of its own.",
        )
    tell(reasons, step, context)
    return {name: layer for name, layer in layers.items() if name not in reasons}


def refuse_named(reasons: Reasons, named: Collection[str], step: str) -> None:
    """Raises SecateurError for a layer that is `named` in `layers` of `step`, and that there are reasons against."""
    if wrong := {name: reasons[name] for name in named if name in reasons}:
        raise SecateurError(
            f"{step}.layers names what {step} can't change: {listed(list(wrong))}",
            f"The reason against each: {_sentences(wrong)}.",
            f"Take {'it' if len(wrong) == 1 else 'them'} out of layers.",
        )


def tell(reasons: Reasons, step: str, context: Context) -> None:
    """Name the layers that a step leaves alone."""
    if reasons:
        context.notice("warning", f"Left alone by {step}: {_sentences(reasons)}")
        context.observations["left_alone"] = reasons


def _sentences(reasons: Reasons) -> str:
    return listed([f"{name} ({reason})" for name, reason in reasons.items()])


def reasons_against(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    context: Context,
    instead: Instead | None = None,
    lost: Lost | None = None,
) -> Reasons:
    """The reasons against changing layers, by the layer; none for those that may be changed.

    By default a step changes the values of weights: then inputs must be multiplied with the weight as it is. Given
    `instead`, the layer is replaced: then it must compute what `instead` does. Given `lost`, the network's own code
    must not read attributes of the layer for which `lost` is true.
    """
    reasons = tied(model, layers)
    if not _is_for(model, context):
        return reasons
    pixels = taken_by(model, next(images(context, TRIED, "understood")))
    others = {name: layer for name, layer in layers.items() if name not in reasons}
    if instead is None:
        reasons |= not_multiplied(model, others, pixels)
    else:
        reasons |= different(model, others, pixels, instead)
    if lost is not None:
        others = {name: layer for name, layer in others.items() if name not in reasons}
        reasons |= read(model, others, pixels, lost)
    return {name: reasons[name] for name in layers if name in reasons}


def _is_for(model: nn.Module, context: Context) -> bool:
    """Whether the model takes the study's images: a layer by itself does not."""
    if not is_attached(model):
        return False
    arch = architecture(model)
    return (arch.channels, arch.size) == (context.data.channels, tuple(context.data.size))


def tied(model: nn.Module, layers: Mapping[str, nn.Module]) -> Reasons:
    """Layers that share their weight with another module: changing one would separate them."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(name.partition(".parametrizations.")[0])
    reasons = {}
    for name, layer in layers.items():
        held = [parameter for _, parameter in _held(layer)]
        others = sorted({owner for p in held for owner in owners[id(p)]} - {name})
        if others:
            reasons[name] = f"one weight with {listed(others)}"
    return reasons


def _held(layer: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that make up the layer's weight."""
    if parametrize.is_parametrized(layer, "weight"):
        yield from layer.parametrizations["weight"].named_parameters(recurse=False)  # type: ignore[index, union-attr]
    elif isinstance(weight := leaf_of(layer), nn.Parameter):
        yield "weight", weight


def not_multiplied(model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor) -> Reasons:
    """Layers that a pass calls without multiplying anything with their weight as it is."""
    called: list[str] = []
    with ExitStack() as hooks, torch.no_grad(), evaluating(model), parametrize.cached(), unfused_attention():
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(lambda *_, n=name: called.append(n)).remove)
        # Under names of their own: products of what is no weight here are told by the name of the running module.
        products = Products(model, {f"{name}.weight": weight_of(layer) for name, layer in layers.items()})
        with products:
            model(pixels)
    unused = (name for name in dict.fromkeys(called) if f"{name}.weight" not in products.by_weight)
    return {name: _own_forward(layers[name]) for name in unused}


def different(
    model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor, instead: "Instead"
) -> Reasons:
    """Layers that give something else than `instead` for the same input, in any of their calls."""
    reasons: Reasons = {}
    given: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def before(name: str, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        given[name].append(inputs if not named else ())

    def after(name: str, layer: nn.Module, output: Any) -> None:
        inputs = given[name].pop()
        if len(inputs) != 1 or not same(output, instead(name, layer, inputs[0])):
            reasons[name] = _own_forward(layer)

    with ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name, layer in layers.items():
            first = layer.register_forward_pre_hook(
                lambda _, inputs, named, n=name: before(n, inputs, named), prepend=True, with_kwargs=True
            )
            last = layer.register_forward_hook(lambda m, _, output, n=name: after(n, m, output))
            hooks.callback(first.remove)
            hooks.callback(last.remove)
        model(pixels)
    return reasons


class _StandIn(nn.Module):
    """Takes the place of a layer, computes the same, and notes which of its attributes are read."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.noted: list[str] = []

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.layer(*given, **named)

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            return super().__getattr__(name)
        value = getattr(self.layer, name)
        self.noted.append(name)
        return value


def read(model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor, lost: Lost) -> Reasons:
    """Layers of which the network itself reads an attribute that is `lost`, such as the weight for its own product."""
    try:
        return _noted(model, layers, pixels, lost)
    except FAILURES:  # of the network's code, that asks a layer what it is: which one, each shows by itself
        reasons = {name: _noted_alone(model, name, layer, pixels, lost) for name, layer in layers.items()}
        return {name: reason for name, reason in reasons.items() if reason}


def _noted_alone(model: nn.Module, name: str, layer: nn.Module, pixels: Tensor, lost: Lost) -> str:
    try:
        return _noted(model, {name: layer}, pixels, lost).get(name, "")
    except FAILURES as error:
        return f"nothing can take its place: {error}"


def _noted(model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor, lost: Lost) -> Reasons:
    """For each layer of which one pass reads attributes that are `lost`, the reason; the model is unchanged."""
    stand_ins = {name: _StandIn(layer) for name, layer in layers.items()}
    with torch.no_grad(), evaluating(model), ExitStack() as back:
        for name, stand_in in stand_ins.items():
            replace(model, name, stand_in)
            back.callback(replace, model, name, stand_in.layer)
        model(pixels)
    missed = {name: sorted(set(filter(lost, stand_in.noted))) for name, stand_in in stand_ins.items()}
    return {
        name: f"its {listed(names)} read by the network itself" for name, names in missed.items() if names
    }


def computed_by_class(_name: str, layer: nn.Module, given: Tensor) -> Tensor | None:
    """What torch's own class of the layer computes with its weight, bias and settings; None where it does not run."""
    base: Any = next(cls for cls in type(layer).__mro__ if _is_known(cls))
    try:
        with torch.no_grad():
            if hasattr(base, "_conv_forward") and base is not SharedConv2d:
                result: Tensor = base._conv_forward(layer, given, layer.weight, layer.bias)
            else:
                result = base.forward(layer, given)
    except FAILURES:
        return None
    return result


def same(output: Any, expected: Tensor | None) -> bool:
    """Whether two results agree to rounding."""
    if not isinstance(output, Tensor) or expected is None or output.shape != expected.shape:
        return False
    if not output.numel():
        return True
    largest = expected.abs().max()
    return bool((output - expected).abs().max() <= TOLERANCE * largest)


def _is_known(cls: type) -> bool:
    return cls.__module__.startswith("torch.nn.modules.") or cls is SharedConv2d


def _own_forward(layer: nn.Module) -> str:
    return f"{parametrize.type_before_parametrizations(layer).__name__}: own forward"
