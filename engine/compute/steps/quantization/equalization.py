"""Cross-layer equalization of a float graph before it is quantized.

From Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from engine.compute.onnx.graph import Array, Graph, attribute, layer_of
from engine.compute.steps.quantization.graph import along, output_axis

SWEEPS = 20
"""Passes over all pairs: chains of pairs settle within a few."""
CONVERGED = 1e-3
"""Largest relative change of a channel at which equalization ends."""
HOMOGENEOUS = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool")
"""What may lie between two layers: each channel alone, and a factor on its input is one on its output."""


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which alone takes the first one's output, channel by channel."""

    first: onnx.NodeProto
    second: onnx.NodeProto
    axis: int
    """Along which the second one's weight has its input channels."""


def equalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the ranges of weights evened out between pairs of layers; it computes the same.

    Channel i of the first layer is divided by ``s = sqrt(r1 / r2)``, r1 and r2 being the largest weights of that
    channel in the first and in the second layer, and the second one's weights are multiplied by it (equation 11).
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = Graph(copied)
    pairs = list(_pairs(graph))
    for _ in range(SWEEPS):
        changes = [_even_out(pair, graph) for pair in pairs]
        if max(changes, default=0.0) < CONVERGED:
            break
    return copied


def _pairs(graph: Graph) -> Iterator[Pair]:
    for first in graph.weighted():
        if first.op_type not in ("Conv", "Gemm") or not _alone(first, graph):
            continue
        second = graph.only_consumer(first.output[0])
        while second is not None and second.op_type in HOMOGENEOUS:
            second = graph.only_consumer(second.output[0])
        if second is None or layer_of(second, graph) is None or not _alone(second, graph):
            continue
        axis = _input_axis(second, graph)
        channels = graph.array(first.input[1]).shape[output_axis(first)]
        if axis is not None and graph.array(second.input[1]).shape[axis] == channels:
            yield Pair(first, second, axis)


def _alone(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether no other node holds the node's weight or bias."""
    return all(graph.only_consumer(name) is node for name in node.input[1:])


def _input_axis(node: onnx.NodeProto, graph: Graph) -> int | None:
    """The axis of the weight along which input channels lie; None where they do not lie along one."""
    if node.op_type == "Gemm":
        return 1 - output_axis(node)
    if node.op_type != "Conv":
        return None
    groups, weight = attribute(node, "group", 1), graph.array(node.input[1])
    if groups == 1:
        return 1
    return 0 if weight.shape[1] == 1 and weight.shape[0] == groups else None


def _even_out(pair: Pair, graph: Graph) -> float:
    """Equalize one pair, in place; the largest relative change of a channel."""
    one, two = graph.array(pair.first.input[1]), graph.array(pair.second.input[1])
    axis = output_axis(pair.first)
    largest = _largest(one, axis), _largest(two, pair.axis)
    usable = (largest[0] > 0) & (largest[1] > 0)
    factor = np.sqrt(np.where(usable, largest[0], 1.0) / np.where(usable, largest[1], 1.0))
    graph.put(pair.first.input[1], (one / along(factor, axis, one.ndim)).astype(one.dtype))
    graph.put(pair.second.input[1], (two * along(factor, pair.axis, two.ndim)).astype(two.dtype))
    if len(pair.first.input) > 2:
        bias = graph.array(pair.first.input[2])
        graph.put(pair.first.input[2], (bias / factor).astype(bias.dtype))
    return float(np.abs(factor - 1).max())


def _largest(weight: Array, axis: int) -> Array:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return np.asarray(np.abs(weight.astype(np.float64)).max(axis=others))
