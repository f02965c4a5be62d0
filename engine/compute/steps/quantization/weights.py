"""`quantize.weights`: weights rounded to a uniform grid of few bits."""

from typing import assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers import overlays
from engine.compute.layers.grids import GridForm, inside, set_grid, without_grid
from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.steps.calibration.output_error import OutputError, OutputErrors
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.quantization.compensated import Grid, compensated
from engine.compute.steps.quantization.grids import fit_grid
from engine.params.quantize_weights import Gptq, Nearest, QuantizeWeights
from engine.text.phrases import counted, listed


def quantize_weights(model: nn.Module, params: QuantizeWeights, context: Context) -> nn.Module:
    """Round every layer's weights, in place; masks stay, and what they hold at zero stays zero.

    Reports for each layer the share of its energy that is lost. Raises SecateurError when a layer's weights share
    values, which rounding one by one would part.
    """
    to_device(model, context.device)
    layers = changeable(model, prunable_layers(model, params.skip), context, params.kind)
    overlays.refuse(layers, params, title="Weights that share their values cannot be rounded one by one")
    for layer in layers.values():
        without_grid(layer)
    form = GridForm(params.bits, params.symmetric, params.group, params.learn_steps)
    lost = {}
    errors = _errors(model, layers, params, context)
    order = [] if errors is None else errors.order
    others = [name for name in layers if name not in order]
    if errors is not None and others:
        context.notice("info", f"To the nearest points: {listed(others)}, of whose outputs nothing is known")
    for number, name in enumerate([*order, *others]):
        context.progress(number / len(layers), f"{name} ({number + 1} of {len(layers)})")
        weight = weight_of(layers[name]).detach().clone()
        if errors is not None and name in order:
            error = errors.of(name)
            _round_compensated(layers[name], form, params, error)
            errors.keep_means(name, error)
        else:
            step, low = fit_grid(weight, form, params.clip)
            set_grid(layers[name], step.to(weight.device), low.to(weight.device), form)
        lost[name] = _lost(weight, weight_of(layers[name]).detach())
    _tell({name: lost[name] for name in layers}, params, context)
    if params.calibrate:
        recalibrate(model, context)
    return model


def _errors(
    model: nn.Module, layers: dict[str, nn.Module], params: QuantizeWeights, context: Context
) -> OutputErrors | None:
    """What the errors of weights cost in outputs, if rounding asks for it."""
    match params.rounding:
        case Nearest():
            return None
        case Gptq(images=count, damping=damping):
            return OutputErrors(model, layers, context, count=count, damping=damping, norms=params.calibrate)
        case _:
            assert_never(params.rounding)


def _round_compensated(
    module: nn.Module, form: GridForm, params: QuantizeWeights, error: OutputError
) -> None:
    """Give one layer the grid and the codes with which its outputs come nearest to what they were."""
    weight = weight_of(module).detach().clone()
    shape = tuple(weight.shape)
    step, low = fit_grid(error.best.reshape(shape).to(weight.dtype), form, params.clip)
    step, low = step.to(weight.device), low.to(weight.device)
    mask = mask_of(module)
    used = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask.mask
    spread = form.spread(low, shape).double()
    grid = Grid(
        form.spread(step, shape).double().expand(shape).reshape(error.best.shape),
        torch.where(used, -spread, 0.0).reshape(error.best.shape),
        torch.where(used, form.levels - spread, 0.0).reshape(error.best.shape),
        form.group or error.best.shape[-1],
    )
    codes, grid = compensated(error, grid, fit_steps=params.clip == "mse")
    # One value of each group of weights again, in the order in which `form` has them.
    step = grid.step[..., :: grid.width].reshape(-1).to(weight.dtype)
    with torch.no_grad():
        leaf_of(module).copy_(inside(weight, codes.view(shape).to(weight.dtype), step, low, form))
    set_grid(module, step, low, form)


def _tell(lost: dict[str, float], params: QuantizeWeights, context: Context) -> None:
    context.observations["rounding"] = [
        {"name": name, "bits": params.bits, "lost": share} for name, share in lost.items()
    ]
    worst = max(lost, key=lambda name: lost[name])
    context.notice(
        "info",
        f"{counted(len(lost), 'layer')} rounded to {params.bits} bits; {worst} loses most: "
        f"{lost[worst]:.2%} of its weights' energy",
    )


def _lost(before: Tensor, after: Tensor) -> float:
    """Energy of the difference over the energy of the weights, 0 for none."""
    energy = float(before.double().square().sum())
    return float((after - before).double().square().sum()) / max(energy, torch.finfo(torch.float64).tiny)
