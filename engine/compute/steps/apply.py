"""The step of each kind."""

from typing import assert_never

from torch import nn

from engine.compute.context import Context
from engine.compute.steps.calibration.step import calibrate
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.distillation.step import distill
from engine.compute.steps.factorization.step import factorize
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.int8 import quantize_dynamic, quantize_static
from engine.compute.steps.quantization.qat import quantize_qat
from engine.compute.steps.quantization.weights import quantize_weights
from engine.compute.steps.sensitivity import sensitivity
from engine.compute.steps.training import train
from engine.params import (
    Calibrate,
    ClusterFilters,
    ClusterKernels,
    ClusterWeights,
    Distill,
    Factorize,
    Finetune,
    PruneChannels,
    PruneWeights,
    QuantizeDynamic,
    QuantizeQat,
    QuantizeStatic,
    QuantizeWeights,
    Sensitivity,
    Step,
    Train,
)


def apply(step: Step, model: nn.Module, context: Context) -> nn.Module:
    """One step of a pipeline; the model may be changed in place."""
    match step:
        case Train() | Finetune():
            return train(model, step, context)
        case PruneWeights():
            return prune_weights(model, step, context)
        case PruneChannels():
            return prune_channels(model, step, context)
        case ClusterFilters():
            return cluster_filters(model, step, context)
        case ClusterKernels():
            return cluster_kernels(model, step, context)
        case ClusterWeights():
            return cluster_weights(model, step, context)
        case Factorize():
            return factorize(model, step, context)
        case Distill():
            return distill(model, step, context)
        case QuantizeDynamic():
            return quantize_dynamic(model, step, context)
        case QuantizeStatic():
            return quantize_static(model, step, context)
        case QuantizeQat():
            return quantize_qat(model, step, context)
        case QuantizeWeights():
            return quantize_weights(model, step, context)
        case Calibrate():
            return calibrate(model, step, context)
        case Sensitivity():
            return sensitivity(model, step, context)
        case _:
            assert_never(step)
