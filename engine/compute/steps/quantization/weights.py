"""`quantize.weights`: weights rounded to a uniform grid of few bits."""

from typing import assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context, Tell, to_device, untold
from engine.compute.layers import overlays
from engine.compute.layers.grids import GridForm, inside, set_grid, without_grid
from engine.compute.layers.masks import Mask, mask_of
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.steps.calibration.output_error import OutputError, OutputErrors
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.quantization.compensated import Grid, compensated
from engine.compute.steps.quantization.grids import fit_grid
from engine.compute.steps.rates import findings, solved_bits
from engine.params.quantize_weights import Gptq, Nearest, QuantizeWeights
from engine.text.phrases import counted, listed


def quantize_weights(model: nn.Module, params: QuantizeWeights, context: Context) -> nn.Module:
    """Round every layer's weights, in place; masks stay, and what they hold at zero stays zero.

    Reports for each layer the share of its energy that is lost. Raises SecateurError when a layer's weights share
    values, which rounding one by one would part.
    """
    to_device(model, context.device)
    able = prunable_layers(model, params.skip, params.layers)
    layers = changeable(model, able, context, params.kind, params.layers)
    overlays.refuse(layers, params, title="Weights that share their values cannot be rounded one by one")
    for layer in layers.values():
        without_grid(layer)
    forms = _forms(model, layers, params)
    match params.rounding:
        case Nearest():
            lost = {}
        case Gptq():
            lost = _rounded_together(model, layers, forms, params, params.rounding, context)
        case _:
            assert_never(params.rounding)
    for name in [name for name in layers if name not in lost]:
        lost[name] = _rounded(layers[name], forms[name], params, None)
    _tell({name: lost[name] for name in layers}, forms, context)
    if params.calibrate:
        recalibrate(model, context)
    return model


def _forms(model: nn.Module, layers: dict[str, nn.Module], params: QuantizeWeights) -> dict[str, GridForm]:
    """The grid of each layer: of the same bits, of its own, or of those that the solver finds for it."""
    bits = dict.fromkeys(layers, params.bits) | params.layers
    if params.scope == "solved":
        sizes = {name: weight_of(layer).numel() for name, layer in layers.items()}
        bits |= solved_bits(findings(model, "bits")["rows"], sizes, params.bits)
    return {name: GridForm(bits[name], params.symmetric, params.group, params.learn_steps) for name in layers}


def _rounded_together(
    model: nn.Module,
    layers: dict[str, nn.Module],
    forms: dict[str, GridForm],
    params: QuantizeWeights,
    rounding: Gptq,
    context: Context,
) -> dict[str, float]:
    """Round the layers of whose outputs something is known, so that weights make up for each other's errors.

    What each lost, by its name.
    """
    lost = {}
    with OutputErrors(
        model, layers, context, count=rounding.images, damping=rounding.damping, norms=params.calibrate
    ) as errors:
        for name, error, tell in errors.each():
            lost[name] = _rounded(layers[name], forms[name], params, error, tell)
            errors.keep_means(name, error)
    if others := [name for name in layers if name not in lost]:
        context.notice("info", f"To the nearest points: {listed(others)}, of whose outputs nothing is known")
    return lost


def _rounded(
    module: nn.Module,
    form: GridForm,
    params: QuantizeWeights,
    error: OutputError | None,
    tell: Tell = untold,
) -> float:
    """Give one layer its grid, and with `error` the codes of least error of its outputs; what its weights lose."""
    weight = weight_of(module).detach().clone()
    if error is None:
        step, low = (part.to(weight.device) for part in fit_grid(weight, form, params.clip))
    else:
        codes, step, low = _compensated(weight, mask_of(module), form, params, error, tell)
        with torch.no_grad():
            leaf_of(module).copy_(inside(weight, codes, step, low, form))
    set_grid(module, step, low, form)
    return _lost(weight, weight_of(module).detach())


def _compensated(
    weight: Tensor,
    mask: Mask | None,
    form: GridForm,
    params: QuantizeWeights,
    error: OutputError,
    tell: Tell,
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed codes in the shape of `weight`, and steps and points below zero as a grid has them."""
    shape, best = tuple(weight.shape), error.best.reshape(weight.shape).to(weight.dtype)
    step, low = (part.to(weight.device) for part in fit_grid(best, form, params.clip))
    used = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask.mask
    below = form.spread(low, shape).double()
    grid = Grid(
        form.spread(step, shape).double().expand(shape).reshape(error.best.shape),
        torch.where(used, -below, 0.0).reshape(error.best.shape),
        torch.where(used, form.levels - below, 0.0).reshape(error.best.shape),
        form.group or error.best.shape[-1],
    )
    codes, grid = compensated(error, grid, fit_steps=params.clip == "mse", tell=tell)
    # One value of each group of neighbours again, in the order in which `form` has them.
    step = grid.step[..., :: grid.width].reshape(-1).to(weight.dtype)
    return codes.reshape(shape).to(weight.dtype), step, low


def _tell(lost: dict[str, float], forms: dict[str, GridForm], context: Context) -> None:
    context.observations["rounding"] = [
        {"name": name, "bits": forms[name].bits, "lost": share} for name, share in lost.items()
    ]
    worst = max(lost, key=lambda name: lost[name])
    fewest, most = (which(form.bits for form in forms.values()) for which in (min, max))
    bits = f"{most} bits" if fewest == most else f"{fewest} to {most} bits"
    context.notice(
        "info",
        f"{counted(len(lost), 'layer')} rounded to {bits}; {worst} loses most: "
        f"{lost[worst]:.2%} of its weights' energy",
    )


def _lost(before: Tensor, after: Tensor) -> float:
    """Energy of the difference over the energy of the weights, 0 for none."""
    energy = float(before.double().square().sum())
    return float((after - before).double().square().sum()) / max(energy, torch.finfo(torch.float64).tiny)
