"""`quantize.qat`: the network trained with the roundings of its INT8 file, then the file."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from engine.compute.context import Context, to_device, validate
from engine.compute.layers.masks import masked
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.graph import COPY, Graph
from engine.compute.steps.calibration.activations import images
from engine.compute.steps.quantization.calibrate import ranges
from engine.compute.steps.quantization.int8 import exported, left_out, report_layers
from engine.compute.steps.quantization.onnx_training.module import TrainableGraph
from engine.compute.steps.quantization.onnx_training.write_back import give_back
from engine.compute.steps.quantization.precision.result import layers
from engine.compute.steps.quantization.write import quantized, weight_levels
from engine.compute.tasks import task_of
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params.qat import LearnedScales, ObservedScales, QuantizeQat

CALIBRATED_AT_ONCE = 16
"""Most images of a calibration pass: all their activations are in memory together."""
DIFFERENCE = "qat_difference"
"""The measure: accuracy of the file less that of the network that was trained, in points, on validation."""
TOLERATED = 0.2
"""Points of `qat_difference` either way: more is a warning."""


@dataclass
class _Observing:
    """The task's loss, while the scales of activations follow the batches for a share of the training."""

    params: QuantizeQat
    scales: ObservedScales
    context: Context
    extra: nn.Module | None = None

    def loss(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> Tensor:
        assert isinstance(model, TrainableGraph)
        model.activations.observing = progress < self.scales.freeze
        task = task_of(self.context.data)
        return task.loss(model, images, targets, label_smoothing=self.params.label_smoothing)


def quantize_qat(model: nn.Module, params: QuantizeQat, context: Context) -> QuantizedNetwork:
    """The Q/DQ file of the network after training with its roundings; the same nodes as `quantize.static` writes.

    The network is given the trained weights too (see `give_back`). Reports by how many points of validation accuracy
    the file differs from the network that was trained. Raises SecateurError for a detector, and for an operator that
    cannot be trained so.
    """
    if context.data.task == "detection":
        raise SecateurError(
            "Detectors cannot be trained with fake quantization",
            "Their loss needs what the head gives before boxes are decoded, and the INT8 file gives boxes.",
            "Use quantize.static, which needs no training.",
        )
    graph = exported(model, context)
    skip = left_out(model, graph, params.skip)
    report_layers(layers(graph), skip, context)

    together = context.at_once(model, CALIBRATED_AT_ONCE, kept=True)

    def batches() -> Iterator[Tensor]:
        return images(context, params.images, "quantize", together)

    file = quantized(graph, ranges(graph, batches, params.method), skip=skip, per_channel=params.per_channel)
    trainable = TrainableGraph(
        file,
        graph,
        levels=weight_levels(),
        learned=isinstance(params.scales, LearnedScales),
        trained=_trained(model, Graph(graph)),
        masked=set(masked(model)),
        frozen={name for name, parameter in model.named_parameters() if not parameter.requires_grad},
    )
    train_rounded(trainable, params, context)
    give_back(model, graph, trainable.weights(), next(images(context, 1, "quantize")))
    written = trainable.written().SerializeToString(deterministic=True)
    return _compared(trainable, QuantizedNetwork(model, written), context)


def _trained(model: nn.Module, graph: Graph) -> set[str]:
    """What learns although it stays in float: parameters, and weights and biases of layers that are skipped."""
    of_layers = {name.split(COPY)[0] for node in graph.weighted() for name in node.input[1:]}
    return of_layers | {name for name, _ in model.named_parameters()}


def train_rounded(trainable: TrainableGraph, params: QuantizeQat, context: Context) -> None:
    """Train in place; scales are learned, or follow the batches for as long as `params` says."""
    objective = (
        _Observing(params, params.scales, context) if isinstance(params.scales, ObservedScales) else None
    )
    fit(trainable, params, context, objective=objective)


def _compared(trainable: TrainableGraph, made: QuantizedNetwork, context: Context) -> QuantizedNetwork:
    """Tell how the file scores against the network that was trained, which it should equal but for rounding sums."""
    before = context.scored or validate(to_device(trainable, context.device), context)
    context.scored = after = validate(made, context)
    difference = 100 * (after.accuracy - before.accuracy)
    context.observations[DIFFERENCE] = difference
    text = (
        f"The INT8 file has {after.accuracy:.2%} validation accuracy, the network trained with fake quantization "
        f"{before.accuracy:.2%}"
    )
    if abs(difference) > TOLERATED:
        text += f": {difference:+.2f} points, more than the {TOLERATED} that rounding sums may cost"
    context.notice("warning" if abs(difference) > TOLERATED else "info", text)
    return made
