"""`quantize.weights`: weights rounded to a uniform grid of few bits."""

from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers import overlays
from engine.compute.layers.grids import GridForm, set_grid, unrounded
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.quantization.grids import fit_grid
from engine.params.quantize_weights import QuantizeWeights
from engine.text.phrases import counted


def quantize_weights(model: nn.Module, params: QuantizeWeights, context: Context) -> nn.Module:
    """Round every layer's weights, in place; masks stay, and what they hold at zero stays zero.

    Reports for each layer the share of its energy that is lost. Raises SecateurError when a layer's weights share
    values, which rounding one by one would part.
    """
    to_device(model, context.device)
    layers = changeable(model, prunable_layers(model, params.skip), context, params.kind)
    overlays.refuse(layers, params, title="Weights that share their values cannot be rounded one by one")
    form = GridForm(params.bits, params.symmetric, params.group, params.learn_steps)
    rows = []
    for number, (name, module) in enumerate(layers.items()):
        context.progress(number / len(layers), f"{name} ({number + 1} of {len(layers)})")
        rows.append({"name": name, "bits": params.bits, **_round(module, form, params)})
    context.observations["rounding"] = rows
    worst = max(rows, key=lambda row: row["lost"])
    context.notice(
        "info",
        f"{counted(len(rows), 'layer')} rounded to {params.bits} bits; {worst['name']} loses most: "
        f"{worst['lost']:.2%} of its weights' energy",
    )
    if params.calibrate:
        recalibrate(model, context)
    return model


def _round(module: nn.Module, form: GridForm, params: QuantizeWeights) -> dict[str, Any]:
    """Give one layer its grid; what it loses."""
    weight = unrounded(module)
    step, low = fit_grid(weight, form, params.clip)
    set_grid(module, step.to(weight.device), low.to(weight.device), form)
    return {"lost": _lost(weight, weight_of(module).detach())}


def _lost(before: Tensor, after: Tensor) -> float:
    """Energy of the difference over the energy of the weights, 0 for none."""
    energy = float(before.double().square().sum())
    return float((after - before).double().square().sum()) / max(energy, torch.finfo(torch.float64).tiny)
