"""`prune.weights`: single weights set to zero under a mask."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.context import Context, Tell, to_device, within
from engine.compute.layers.masks import Mask, mask_of, set_mask
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.steps.calibration.output_error import OutputError, OutputErrors
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.pruning.importance import importance
from engine.compute.steps.pruning.output_aware import chosen, refitted
from engine.compute.steps.pruning.rounds import keep_largest, recover
from engine.compute.steps.rates import findings, rates_for, solved_rates
from engine.compute.training.schedules import sparsities
from engine.errors import SecateurError
from engine.params.pruning import Cubic, Linear, OneShot, PruneWeights, Rounds

IMAGES = 512
"""Training images on which outputs are looked at: some hundred positions for each weight of a filter."""
DAMPING = 1e-3
"""What keeps weights near to what they were where the images tell little, over the mean square of the inputs."""


def prune_weights(model: nn.Module, params: PruneWeights, context: Context) -> nn.Module:
    """Mask the least important weights; with a schedule, in rounds with training between them."""
    to_device(model, context.device)
    able = prunable_layers(model, params.skip, params.layers)
    layers = changeable(model, able, context, params.kind, params.layers)
    if params.pattern is not None:
        _prune_pattern(model, layers, params, context)
        return model
    if not params.layers and (before := _sparsity(layers)) > params.sparsity:
        context.notice(
            "warning", f"sparsity: asked {params.sparsity:g}, {before:.2g} stay at zero from before"
        )
    match params.schedule:
        case OneShot():
            _prune_to(1.0 if params.layers else params.sparsity, model, layers, params, context, 0)
        case Linear() | Cubic():
            _prune_in_rounds(model, layers, params, params.schedule, context)
        case _:
            assert_never(params.schedule)
    return model


def _prune_in_rounds(
    model: nn.Module, layers: dict[str, nn.Module], params: PruneWeights, schedule: Rounds, context: Context
) -> None:
    shape: Literal["linear", "cubic"] = "linear" if isinstance(schedule, Linear) else "cubic"
    first, last = (0.0, 1.0) if params.layers else (_sparsity(layers), params.sparsity)
    targets = sparsities(shape, first, last, schedule.rounds)
    for number, target in enumerate(targets):
        _prune_to(target, model, layers, params, context, number)
        if number < len(targets) - 1:
            recover(model, schedule, context, number)


def _sparsity(layers: dict[str, nn.Module]) -> float:
    masks = [mask.mask for m in layers.values() if (mask := mask_of(m)) is not None]
    kept = sum(int(mask.sum()) for mask in masks)
    masked = sum(mask.numel() for mask in masks) - kept
    return masked / max(sum(weight_of(m).numel() for m in layers.values()), 1)


def _prune_to(
    sparsity: float,
    model: nn.Module,
    layers: dict[str, nn.Module],
    params: PruneWeights,
    context: Context,
    number: int,
) -> None:
    """Mask so many weights that `sparsity` of all (or of each layer's) are zero; masked ones come first. Where layers
    have a sparsity of their own it is the share of that."""
    scores = importance(params.criterion, model, layers, context, number)
    for name, module in layers.items():
        if (mask := mask_of(module)) is not None:
            scores[name][~mask.mask] = -1.0
    match params.scope:
        case _ if params.layers:
            masks = {name: keep_largest(s, sparsity * params.layers[name]) for name, s in scores.items()}
        case "local":
            masks = {name: keep_largest(s, sparsity) for name, s in scores.items()}
        case "global":
            flat = torch.cat([s.flatten() for s in scores.values()])
            parts = torch.split(keep_largest(flat, sparsity), [s.numel() for s in scores.values()])
            masks = {name: p.view_as(scores[name]) for name, p in zip(scores, parts, strict=True)}
        case "sensitivity" | "solved":
            rates = _rates(
                rates_for if params.scope == "sensitivity" else solved_rates, sparsity, model, layers
            )
            masks = {name: keep_largest(s, rates[name]) for name, s in scores.items()}
        case _:
            assert_never(params.scope)
    _lay(masks, _as_many_as(masks), model, layers, params, context)


Keep = Callable[[str, Tensor, float], Tensor]
"""From a layer's name, scores in the shape of its weight and the share of the way that is done, the mask."""


def _as_many_as(masks: dict[str, Tensor]) -> Keep:
    """Of each layer the largest scores, in the end as many as its mask has."""

    def keep(name: str, scores: Tensor, share: float) -> Tensor:
        return keep_largest(scores, share * (1 - float(masks[name].double().mean())))

    return keep


def _lay(
    masks: dict[str, Tensor],
    keep: Keep,
    model: nn.Module,
    layers: dict[str, nn.Module],
    params: PruneWeights,
    context: Context,
) -> None:
    """Mask the layers; where asked, by what their outputs lose, and with the other weights making up for it.

    With a criterion that looks at outputs, `masks` tell how many weights stay, and `keep` which.
    """
    # What is masked already stays so: others make up for it too.
    masks = {name: mask & _unmasked(layers[name], mask) for name, mask in masks.items()}
    by_outputs = params.criterion == "obs"
    able = {name: layer for name, layer in layers.items() if _plain_below_masks(layer)}
    done: list[str] = []
    if able and (by_outputs or params.repair):
        with OutputErrors(model, able, context, count=IMAGES, damping=DAMPING, norms=True) as errors:
            done = errors.order
            for name, error, tell in errors.each():
                mask = masks[name]
                if by_outputs:
                    mask = _by_outputs(layers[name], error, partial(keep, name), within(tell, 0, 2))
                set_mask(layers[name], mask)
                if params.repair:
                    _repair(layers[name], error, mask, within(tell, 1, 2))
                    errors.keep_means(name, error)
    for name in layers.keys() - done:
        set_mask(layers[name], masks[name])
    if done and params.repair:
        recalibrate(model, context)


def _by_outputs(
    layer: nn.Module, error: OutputError, keep: Callable[[Tensor, float], Tensor], tell: Tell
) -> Tensor:
    """The mask that `keep` makes of scores in the shape of the weight; weights that are masked already go first."""
    shape = weight_of(layer).shape

    def placed(scores: Tensor, share: float) -> Tensor:
        own = scores.reshape(shape)
        before = _unmasked(layer, own)
        return (keep(torch.where(before, own, -1.0), share) & before).reshape(scores.shape)

    return chosen(error, placed, tell).reshape(shape)


def _unmasked(layer: nn.Module, like: Tensor) -> Tensor:
    """The layer's mask, in the shape of `like`; all true where it has none."""
    mask = mask_of(layer)
    return torch.ones_like(like, dtype=torch.bool) if mask is None else mask.mask


def _repair(layer: nn.Module, error: OutputError, mask: Tensor, tell: Tell) -> None:
    """Give the layer the weights of least error that are zero where `mask` is false."""
    weights = refitted(error, mask.reshape(error.best.shape), tell)
    with torch.no_grad():
        leaf_of(layer).copy_(weights.reshape(mask.shape))


def _plain_below_masks(layer: nn.Module) -> bool:
    """Whether the layer's weights are its own, one by one: no codes of values or steps lie over them."""
    if not parametrize.is_parametrized(layer, "weight"):
        return True
    parts: Any = layer.parametrizations["weight"]  # type: ignore[index]
    return all(isinstance(part, Mask) for part in parts)


def _rates(
    rule: Callable[..., dict[str, float]], sparsity: float, model: nn.Module, layers: dict[str, nn.Module]
) -> dict[str, float]:
    """For every layer the rate by what an earlier step predicts."""
    sizes = {name: weight_of(module).numel() for name, module in layers.items()}
    gone = {name: _sparsity({name: module}) for name, module in layers.items()}
    return rule(findings(model, "weights")["rows"], sizes, sparsity, gone)


def _prune_pattern(
    model: nn.Module, layers: dict[str, nn.Module], params: PruneWeights, context: Context
) -> None:
    assert params.pattern is not None
    keep, of = (int(part) for part in params.pattern.split(":"))
    scores = importance(params.criterion, model, layers, context, 0)
    fitting = patterned(layers, params.pattern)
    masks = {name: pattern_mask(scores[name], keep, of) for name in fitting}
    _lay(masks, lambda _, s, __: pattern_mask(s, keep, of), model, fitting, params, context)
    if left := sorted(layers.keys() - fitting.keys()):
        context.notice("info", f"Left dense: input channels of {', '.join(left)} are no multiple of {of}")


def patterned(layers: dict[str, nn.Module], pattern: str) -> dict[str, nn.Module]:
    """The layers that the pattern `N:M` fits. Raises SecateurError where it fits none."""
    of = int(pattern.partition(":")[2])
    fitting = {name: layer for name, layer in layers.items() if weight_of(layer).shape[1] % of == 0}
    if not fitting:
        raise SecateurError(
            f"No layer fits the pattern {pattern}",
            f"The number of input channels of a layer must be a multiple of {of}.",
            "Use a smaller M, or prune by sparsity.",
        )
    return fitting


def pattern_mask(scores: Tensor, keep: int, of: int) -> Tensor:
    """Mask of the `keep` largest of every `of` neighbouring input channels; scores (O, I, …), I a multiple of `of`.

    Neighbours along the input channels at one kernel position, as NVIDIA's sparse tensor cores want
    them (Mishra et al. 2021).
    """
    inputs_last = scores.movedim(1, -1)
    groups = inputs_last.reshape(-1, of)
    order = torch.argsort(groups, dim=1, descending=True, stable=True)
    mask = torch.zeros_like(groups, dtype=torch.bool)
    mask.scatter_(1, order[:, :keep], True)
    return mask.view(inputs_last.shape).movedim(-1, 1).contiguous()
