"""`cluster.kernels`: the kernels of a convolution are entries of a dictionary, times a scale each."""

import torch
from torch import nn

from engine.compute.context import Context, to_device
from engine.compute.layers import overlays
from engine.compute.layers.dictionaries import set_dictionary
from engine.compute.layers.select import prunable_layers
from engine.compute.numerics.seeds import derive
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.clustering.directions import directions
from engine.errors import SecateurError
from engine.params.clustering import ClusterKernels


def cluster_kernels(model: nn.Module, params: ClusterKernels, context: Context) -> nn.Module:
    """Give every convolution of more than one kernel position a dictionary, in place, where that saves weights.

    Reports each layer's kernels and the share of its energy that is lost. Raises SecateurError when no layer
    gains, or one has masks already.
    """
    to_device(model, context.device)
    convolutions = worth_it(model, params)
    overlays.refuse(
        convolutions, params, title="Kernels with masks, codebooks, dictionaries or grids cannot be clustered"
    )
    convolutions = {
        name: layer
        for name, layer in changeable(model, convolutions, context, params.kind).items()
        if isinstance(layer, nn.Conv2d)
    }
    rows = []
    for number, (name, layer) in enumerate(convolutions.items()):
        context.part(number, len(convolutions), name)
        rows.append(_cluster(name, layer, params, context))
    context.observations["dictionaries"] = rows
    if params.calibrate:
        recalibrate(model, context)
    return model


def worth_it(model: nn.Module, params: ClusterKernels) -> dict[str, nn.Conv2d]:
    """The convolutions that a dictionary makes smaller. Raises SecateurError where there are none."""
    convolutions = {
        name: layer
        for name, layer in prunable_layers(model, params.skip).items()
        if isinstance(layer, nn.Conv2d) and _saves(layer, params.entries)
    }
    if not convolutions:
        raise SecateurError(
            "There are no kernels to cluster",
            f"No convolution has so many kernels that a dictionary of {params.entries} saves weights.",
            "Lower entries, or shorten skip.",
        )
    return convolutions


def _saves(layer: nn.Conv2d, entries: int) -> bool:
    """Whether entries and scales are fewer than the weights."""
    outputs, inputs, height, width = layer.weight.shape
    return entries * height * width + outputs * inputs < layer.weight.numel()


def _cluster(name: str, layer: nn.Conv2d, params: ClusterKernels, context: Context) -> dict[str, object]:
    outputs, inputs = layer.weight.shape[:2]
    kernels = layer.weight.detach().cpu().double().flatten(2).flatten(0, 1)
    seed = derive(context.seed, "kernels", context.position, name)
    clusters = directions(kernels, params.entries, restarts=params.restarts, seed=seed, signed=True)
    index = clusters.labels.view(outputs, inputs).to(layer.weight.device)
    set_dictionary(layer, index, params.entries)
    energy = max(float(kernels.square().sum()), torch.finfo(torch.float64).tiny)
    return {
        "name": name,
        "kernels": len(kernels),
        "entries": params.entries,
        "distortion": clusters.distortion / energy,
    }
