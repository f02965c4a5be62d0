"""Bias correction: what rounding the weights shifts on average goes into the biases.

From Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2.
"""

from collections.abc import Iterable, Set

import numpy as np
import onnx
import torch
from torch import Tensor

from engine.compute.numerics.aligned import to_array
from engine.compute.onnx.graph import Array, Graph, attribute
from engine.compute.steps.quantization.calibrate import activations
from engine.compute.steps.quantization.choose import choose, is_weighted
from engine.compute.steps.quantization.graph import output_axis, set_bias
from engine.compute.steps.quantization.write import dequantized_weight

Means = dict[str, Array]
"""Mean of each input channel, by the name of the node that takes it."""


def input_means(model: onnx.ModelProto, batches: Iterable[Tensor]) -> Means:
    """What enters each layer that can be quantized on average, per channel, over all images and places."""
    graph = Graph(model)
    nodes = [node for node in graph.nodes if is_weighted(node, graph) and node.op_type != "MatMul"]
    names = list(dict.fromkeys(node.input[0] for node in nodes))
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in activations(model, batches, names):
        for name, values in batch.items():
            kept = tuple(i for i in range(values.dim()) if i not in (0, 1))
            mean = (values.double().mean(kept) if kept else values.double()).sum(0)
            sums[name] = sums.get(name, torch.zeros_like(mean)) + mean
        count += len(next(iter(batch.values())))
    return {node.name: to_array(sums[node.input[0]] / count) for node in nodes}


def bias_corrected(
    model: onnx.ModelProto, means: Means, skip: Set[str], *, per_channel: bool
) -> onnx.ModelProto:
    """`model` with biases that make up for what rounding the weights shifts on average.

    ``b + (W - W') E[x]`` with W' the rounded weights (section 4.2); what padding takes from E[x] is not counted.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = Graph(copied)
    chosen = set(choose(graph, skip).nodes)
    for node in graph.nodes:
        if node.name in chosen and node.name in means:
            lost = graph.array(node.input[1]) - dequantized_weight(node, graph, per_channel=per_channel)
            shift = _response(node, lost.astype(np.float64), means[node.name])
            bias = graph.array(node.input[2]) if len(node.input) > 2 else 0.0
            set_bias(node, graph, (bias + shift).astype(np.float32))
    return copied


def _response(node: onnx.NodeProto, weight: Array, mean: Array) -> Array:
    """What a layer with these weights gives for the same value at every place of a channel: (output channels,)."""
    if node.op_type == "Gemm":
        return np.asarray(weight @ mean if output_axis(node) == 0 else mean @ weight)
    groups = attribute(node, "group", 1)
    kernels = weight.reshape(*weight.shape[:2], -1).sum(2)
    grouped = kernels.reshape(groups, -1, weight.shape[1])
    return np.asarray(np.einsum("goi,gi->go", grouped, mean.reshape(groups, -1)).reshape(-1))
