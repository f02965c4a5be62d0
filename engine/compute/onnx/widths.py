"""An exported graph given the widths of another network: every place where a number of channels stands is known.

Channels lie along axis 1. Their number stands in shapes of weights and of what is between operators, in the groups of
convolutions, and in the shape that a `Reshape` flattens images to. A graph with any other operator, or with a constant
in any other place, is refused: a width could stand there that nobody sees.
"""

import math
from collections.abc import Mapping, Sequence

import onnx
from torch import nn

from engine.compute.onnx.graph import Graph, attribute

WIDTHS = {
    nn.Conv2d: {"in_channels", "out_channels", "groups"},
    nn.BatchNorm2d: {"num_features"},
    nn.Linear: {"in_features", "out_features"},
}
"""Attributes that say how many channels there are, which these layers compute nothing by but what their tensors say."""
SAME = {
    "BatchNormalization",
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Clip",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
}
"""Operators that give as many channels as they take."""
PIXELS = {-2, -1, 2, 3}
"""Axes of an image, over which a mean may be taken."""
Sizes = dict[str, list[int]]
"""Of what is between operators: channels, and height and width where it has them."""


def fit(model: onnx.ModelProto, weights: Mapping[str, Sequence[int]]) -> bool:
    """Give `model`, in place, weights of these shapes, by name; False where that may not be all that is to be changed.

    A model that was refused is of no use any more.
    """
    graph = Graph(model)
    if sum(node.op_type == "Reshape" for node in graph.nodes) > 1:
        return False  # an export holds equal shapes once, and which are equal depends on widths
    known = {
        one.name: one.type.tensor_type.shape.dim for one in (*model.graph.value_info, *model.graph.output)
    }
    for name, shape in weights.items():
        if name in graph.constants:
            graph.constants[name].dims[:] = shape
        if name in known and len(known[name]) != len(shape):
            return False  # complex numbers are pairs in the file
        for dim, size in zip(known.get(name, ()), shape, strict=False):
            dim.dim_value = size
    sizes: Sizes = {one.name: _size(one.type.tensor_type.shape.dim) for one in model.graph.input}
    for node in graph.nodes:
        channels = _channels(node, graph, sizes, weights)
        if channels is None or len(node.output) != 1 or node.output[0] not in known:
            return False
        known[node.output[0]][1].dim_value = channels
        sizes[node.output[0]] = _size(known[node.output[0]])
    return True


def _size(dims: Sequence[onnx.TensorShapeProto.Dimension]) -> list[int]:
    return [dim.dim_value for dim in dims[1:]]


def _channels(
    node: onnx.NodeProto, graph: Graph, sizes: Sizes, weights: Mapping[str, Sequence[int]]
) -> int | None:
    """How many channels the node gives, which is made to fit what it takes; None where that can't be told."""
    first, *others = node.input
    if first not in sizes:
        return None
    size, kind = sizes[first], node.op_type
    if kind in ("Add", "Mul", "Concat"):
        if any(name not in sizes for name in others):
            return None
        channels = [sizes[name][0] for name in node.input]
        if kind == "Concat":
            return sum(channels) if attribute(node, "axis", 0) == 1 else None
        return channels[0] if len(set(channels)) == 1 else None
    if any(name and name not in graph.constants for name in others):
        return None
    if kind in SAME:
        return size[0]
    if kind == "Conv" and others[0] in weights:
        return _convolved(node, size[0], *weights[others[0]][:2])
    if kind == "Gemm" and others[0] in weights and attribute(node, "transB", 0):
        return weights[others[0]][0]
    if kind == "ReduceMean" and len(size) == 3 and others and set(graph.array(others[0]).tolist()) <= PIXELS:
        return size[0]
    return _flattened(others[0], size, graph) if kind == "Reshape" else None


def _convolved(node: onnx.NodeProto, channels: int, outputs: int, inputs: int) -> int:
    """The channels of a convolution whose groups take `inputs` of the `channels` each."""
    for one in node.attribute:
        if one.name == "group":
            one.i = channels // inputs
    return outputs


def _flattened(shape: str, size: list[int], graph: Graph) -> int | None:
    """The values of an image, if the constant `shape` is (-1, values of an image); it is set."""
    values = graph.array(shape).copy()
    if values.shape != (2,) or values[0] != -1 or len(size) != 3:
        return None
    values[1] = math.prod(size)
    graph.put(shape, values)
    return int(values[1])
