"""Narrow convolutions compute four pixels at once.

Runtimes compute a convolution's outputs in blocks of as many channels as the processor's vectors hold floats: 16 with
AVX-512, 8 with AVX2. One with 3 channels takes as long as one with 16. So where four times its channels fit into a
block, a convolution of stride 1 is written as one of stride 2 that gives each 2 × 2 pixels in channels of their own,
with a kernel larger by one, and a rearrangement behind it: of 16 · 9 products a pixel and input channel that a block
of a 3 × 3 convolution takes, 16 · 4 are left. The numbers that are added up are the same.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import helper

from engine.compute.onnx.graph import Array, Graph, attribute

SIDE = 2
"""Pixels that are computed at once lie in squares of this side."""
LANES = {"AVX512": 16, "AVX2": 8}
"""Floats in a vector, by what torch says of the processor; others compute convolutions otherwise."""
LANES_KEY = "secateur.lanes"
"""In a file's metadata."""
GAIN = 2.0
"""Products of the plain convolution over those of the packed one, from which it pays."""
INPUTS, PIXELS = 8, 196
"""Fewest input channels and output pixels: below, the rearrangement takes what is saved (seen in ONNX Runtime at 3
input channels, and at 7 × 7 pixels)."""
FOLLOWING = {"BatchNormalization", "Relu", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "Tanh", "Clip"}
"""Operators on each value alone, that may stay before the rearrangement, where runtimes fuse them into the
convolution."""


def lanes() -> int:
    """Channels that runtimes compute at once on this processor; 0 where they do not go by vectors."""
    return LANES.get(torch.backends.cpu.get_cpu_capability(), 0)


def pack(model: onnx.ModelProto, lanes: int) -> int:
    """Rewrite, in place, the convolutions for which it pays where `lanes` channels are computed at once; how many.

    `model` says the shapes between its operators (`onnx.shape_inference`, or the exporter); its input is
    (N, C, H, W) of any N.
    """
    graph = Graph(model)
    sizes = _sizes(model)
    chosen = [node for node in graph.nodes if _pays(node, graph, sizes, lanes)]
    if not chosen:
        return 0
    for node in chosen:
        _pack(node, graph)
    graph.remove([])  # constants that nothing takes any more
    model.metadata_props.add(key=LANES_KEY, value=str(lanes))
    return len(chosen)


def packed_for(model: onnx.ModelProto) -> int:
    """How many channels at once the convolutions of a file are packed for; 0: none is packed."""
    return next((int(entry.value) for entry in model.metadata_props if entry.key == LANES_KEY), 0)


def _sizes(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Height and width of every tensor (N, C, H, W) for which they are known."""
    sizes = {}
    for value in model.graph.value_info:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4 and all(dim.HasField("dim_value") for dim in dims[2:]):
            sizes[value.name] = dims[2].dim_value, dims[3].dim_value
    return sizes


def _pays(node: onnx.NodeProto, graph: Graph, sizes: dict[str, tuple[int, int]], lanes: int) -> bool:
    if node.op_type != "Conv" or any(name not in graph.constants for name in node.input[1:]):
        return False
    dims = list(graph.constants[node.input[1]].dims)
    if len(dims) != 4 or node.output[0] not in sizes or not _is_plain(node):
        return False
    outputs, inputs, *kernel = dims
    height, width = sizes[node.output[0]]
    gain = kernel[0] * kernel[1] * SIDE**2 / ((kernel[0] + SIDE - 1) * (kernel[1] + SIDE - 1))
    fits = outputs * SIDE**2 <= lanes and height % SIDE == 0 and width % SIDE == 0
    return fits and gain >= GAIN and inputs >= INPUTS and height * width >= PIXELS


def _is_plain(node: onnx.NodeProto) -> bool:
    """Whether a convolution has one group, and neither strides nor gaps nor padding that follows from the size."""
    steps = [*attribute(node, "strides", [1, 1]), *attribute(node, "dilations", [1, 1])]
    return (
        attribute(node, "group", 1) == 1
        and attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
        and steps == [1, 1, 1, 1]
    )


def _pack(node: onnx.NodeProto, graph: Graph) -> None:
    weight = graph.array(node.input[1])
    node.input[1] = _put(graph, node.input[1], _shifted(weight))
    if len(node.input) > 2:
        node.input[2] = _put(graph, node.input[2], graph.array(node.input[2]).repeat(SIDE**2))
    _set(node, "strides", [SIDE, SIDE])
    _set(node, "kernel_shape", [size + SIDE - 1 for size in weight.shape[2:]])
    packed = [node, *_followers(node, graph)]
    for norm in packed[1:]:
        if norm.op_type == "BatchNormalization":
            norm.input[1:] = [_put(graph, name, graph.array(name).repeat(SIDE**2)) for name in norm.input[1:]]
    _forget_shapes(graph, {one.output[0] for one in packed[:-1]})
    _rearrange_behind(packed[-1], graph)


def _shifted(weight: Array) -> Array:
    """Every filter once for each pixel of a square, moved to it: (O, I, h, w) → (O · SIDE², I, h + 1, w + 1)."""
    outputs, inputs, height, width = weight.shape
    moved = np.zeros((outputs, SIDE, SIDE, inputs, height + SIDE - 1, width + SIDE - 1), dtype=weight.dtype)
    for y in range(SIDE):
        for x in range(SIDE):
            moved[:, y, x, :, y : y + height, x : x + width] = weight
    return moved.reshape(-1, *moved.shape[3:])


def _followers(node: onnx.NodeProto, graph: Graph) -> Iterator[onnx.NodeProto]:
    """What may stay between a convolution and the rearrangement, one after the other."""
    following = graph.only_consumer(node.output[0])
    while following is not None and following.op_type in FOLLOWING:
        if following.op_type == "BatchNormalization" and not set(following.input[1:]) <= set(graph.constants):
            return
        yield following
        following = graph.only_consumer(following.output[0])


def _forget_shapes(graph: Graph, names: set[str]) -> None:
    """Drop what the model says of the shapes of these tensors, which are others now."""
    known = graph.model.graph.value_info
    left = [value for value in known if value.name not in names]
    del known[:]
    known.extend(left)


def _rearrange_behind(node: onnx.NodeProto, graph: Graph) -> None:
    """Give the pixels in channels their places, under the name of the node's output."""
    given = node.output[0]
    node.output[0] = graph.unused(f"{given}_packed")
    made = helper.make_node(
        "DepthToSpace", [node.output[0]], [given], name=f"{node.name}_pixels", blocksize=SIDE, mode="CRD"
    )
    graph.put_behind(node, made)


def _put(graph: Graph, name: str, values: Array) -> str:
    """Add a constant, whose name is `name` with an ending."""
    new = graph.unused(f"{name}_packed")
    graph.put(new, values)
    return new


def _set(node: onnx.NodeProto, name: str, values: list[int]) -> None:
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, values)])
