"""The step of each kind."""

from typing import assert_never

from torch import nn

from engine import params
from engine.compute.context import Context
from engine.compute.layers import foreign
from engine.compute.layers.select import PRUNABLE
from engine.compute.models import edits
from engine.compute.steps.calibration.step import calibrate
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.distillation.step import distill
from engine.compute.steps.factorization.step import factorize
from engine.compute.steps.pruning.blocks import prune_blocks
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.half import quantize_half
from engine.compute.steps.quantization.int8 import quantize_dynamic, quantize_static
from engine.compute.steps.quantization.qat import quantize_qat
from engine.compute.steps.quantization.weights import quantize_weights
from engine.compute.steps.sensitivity import sensitivity
from engine.compute.steps.training import train
from engine.errors import SecateurError
from engine.params import Step
from engine.text.phrases import listed


def apply(step: Step, model: nn.Module, context: Context) -> nn.Module:
    """One step of a pipeline; the model may be changed in place."""
    if step.compresses or isinstance(step, params.Sensitivity):
        prepare(model, step, context)
    match step:
        case params.Train() | params.Finetune():
            return train(model, step, context)
        case params.PruneWeights():
            return prune_weights(model, step, context)
        case params.PruneChannels():
            return prune_channels(model, step, context)
        case params.PruneBlocks():
            return prune_blocks(model, step, context)
        case params.ClusterFilters():
            return cluster_filters(model, step, context)
        case params.ClusterKernels():
            return cluster_kernels(model, step, context)
        case params.ClusterWeights():
            return cluster_weights(model, step, context)
        case params.Factorize():
            return factorize(model, step, context)
        case params.Distill():
            return distill(model, step, context)
        case params.QuantizeDynamic():
            return quantize_dynamic(model, step, context)
        case params.QuantizeStatic():
            return quantize_static(model, step, context)
        case params.QuantizeQat():
            return quantize_qat(model, step, context)
        case params.QuantizeWeights():
            return quantize_weights(model, step, context)
        case params.QuantizeHalf():
            return quantize_half(model, step, context)
        case params.Calibrate():
            return calibrate(model, step, context)
        case params.Sensitivity():
            return sensitivity(model, step, context)
        case _:
            assert_never(step)


def prepare(model: nn.Module, step: Step, context: Context) -> None:
    """Prepare the model for a step that changes weights, in place.

    Weights that the network's own code computes (parametrizations) become plain; a notice names frozen layers. Raises
    SecateurError for weights with NaN or infinity, which rounding and clustering would turn into numbers.
    """
    broken = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, PRUNABLE) and not all(bool(p.isfinite().all()) for p in layer.parameters())
    ]
    if broken:
        raise SecateurError(
            f"{step.kind} has weights before it that are no numbers",
            f"{listed(broken)}: NaN or infinity.",
            "Such a network computes nothing: look at its own code, or at the file that its weights come from.",
        )
    made = foreign.plain_(model)
    for name in made:
        edits.record(model, {"edit": edits.PLAIN, "layer": name})
    if made:
        context.notice(
            "info",
            f"The weights of {listed(made)}, which the network's own code computed (parametrizations), became plain: "
            f"{step.kind} changes what is multiplied with, and later training trains that",
        )
    frozen = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, PRUNABLE)
        and not any(parameter.requires_grad for parameter in layer.parameters())
    ]
    if frozen and not isinstance(step, params.Sensitivity):
        context.notice(
            "info",
            f"{listed(frozen)}: frozen by the network's own code; {step.kind} changes such layers too (name them in "
            "skip to spare them), training leaves them as they then are",
        )
