"""Which nodes of a float graph compute in integers, and which tensors are quantized for it.

Convolutions and products with a weight do. What lies between them (sums of residual branches, pooling, sigmoids,
changes of shape) does where that keeps a path in integers from one of these to another; all else stays in float:
normalization, softmax, GELU, products of activations, and what only leads to them.
"""

from collections.abc import Set
from dataclasses import dataclass, field

import onnx

from engine.compute.onnx.graph import Graph, attribute, layer_of

WEIGHTED_OPS = ("Conv", "Gemm", "MatMul")
"""Weighted operators with an integer kernel in ONNX Runtime; ConvTranspose has none."""
FUSED = ("Relu", "Clip")
"""Activations that the quantization behind them does on the way: a range that starts at zero has no negatives."""
BETWEEN = (
    "Add",
    "Mul",
    "Concat",
    "AveragePool",
    "GlobalAveragePool",
    "Sigmoid",
    "LeakyRelu",
)
"""Operators with an integer kernel whose output has a range of its own."""
DATA_MOVEMENT_OPS = ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators that only move values: input and output are quantized alike."""
FLOAT_OUTPUT = ("Gemm", "MatMul")
"""Operators whose integer kernel can give its result in float, without loss by rounding."""


@dataclass
class Choice:
    """What is quantized of a graph.

    Attributes:
        nodes: Names of the nodes that compute in integers, in the order of the graph.
        outputs: Tensors that such a node gives, quantized for whoever takes them.
        inputs: Tensors that float nodes give, quantized for integer nodes alone.
        same: For a tensor that moved, the one whose range it has.
    """

    nodes: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)

    @property
    def tensors(self) -> list[str]:
        """Every tensor that is quantized."""
        return [*self.inputs, *self.outputs]


def choose(graph: Graph, skip: Set[str] = frozenset()) -> Choice:
    """What to quantize when the nodes named by `skip` stay in float.

    With a node more in `skip`, no tensor is quantized that was not before.
    """
    heavy = {node.name for node in graph.nodes if node.name not in skip and is_weighted(node, graph)}
    chosen = heavy | _between(graph, heavy, skip)
    choice = Choice()
    for node in graph.nodes:
        if node.name not in chosen:
            continue
        choice.nodes.append(node.name)
        for name in data_inputs(node, graph):
            if name not in choice.outputs and name not in choice.inputs:
                choice.inputs.append(name)
        if node.op_type not in FLOAT_OUTPUT:
            output = after_activation(node.output[0], graph)
            choice.outputs.append(output)
            if node.op_type in DATA_MOVEMENT_OPS:
                source = node.input[0]
                choice.same[output] = choice.same.get(source, source)
    return choice


def is_weighted(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether the node is a convolution or a product with a constant weight, of a form that has an integer kernel."""
    if node.op_type not in WEIGHTED_OPS or layer_of(node, graph) is None:
        return False
    if graph.constants[node.input[1]].data_type != onnx.TensorProto.FLOAT:
        return False  # integer kernels take and give float32
    if node.op_type == "Gemm":
        plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
        return plain and not attribute(node, "transA", 0)
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) == 2
    return True


def data_inputs(node: onnx.NodeProto, graph: Graph) -> list[str]:
    """The activations that a node takes: not its weights, shapes and other constants."""
    taken = node.input[:1] if node.op_type in (*WEIGHTED_OPS, *DATA_MOVEMENT_OPS) else node.input
    return [name for name in dict.fromkeys(taken) if name and name not in graph.constants]


def after_activation(name: str, graph: Graph) -> str:
    """The tensor at which a node's output is quantized: behind the activation that takes it alone, or itself."""
    after = graph.only_consumer(name)
    return after.output[0] if after is not None and after.op_type in FUSED else name


def _between(graph: Graph, heavy: Set[str], skip: Set[str]) -> set[str]:
    """Nodes between heavy ones whose inputs all come in integers, and whose output is taken by such a node."""
    candidates = {
        node.name: node
        for node in graph.nodes
        if node.op_type in (*BETWEEN, *DATA_MOVEMENT_OPS)
        and node.name not in skip
        and not _takes_constants(node, graph)
    }
    while True:
        kept = {
            name: node
            for name, node in candidates.items()
            if _comes_in_integers(node, graph, heavy, candidates)
            and _goes_on(node.output[0], graph, heavy, candidates)
        }
        if len(kept) == len(candidates):
            return set(kept)
        candidates = kept


def _takes_constants(node: onnx.NodeProto, graph: Graph) -> bool:
    return node.op_type in BETWEEN and any(name in graph.constants for name in node.input)


def _comes_in_integers(
    node: onnx.NodeProto, graph: Graph, heavy: Set[str], candidates: dict[str, onnx.NodeProto]
) -> bool:
    return all(_is_integer(name, graph, heavy, candidates) for name in data_inputs(node, graph))


def _is_integer(name: str, graph: Graph, heavy: Set[str], candidates: dict[str, onnx.NodeProto]) -> bool:
    before = graph.producers.get(name)
    if before is not None and before.op_type in FUSED:
        if after_activation(before.input[0], graph) != name:
            return False
        before = graph.producers.get(before.input[0])
    return before is not None and (before.name in candidates or before.name in heavy)


def _goes_on(name: str, graph: Graph, heavy: Set[str], candidates: dict[str, onnx.NodeProto]) -> bool:
    """Whether an integer node takes the tensor, perhaps behind an activation."""
    taking = graph.consumers.get(after_activation(name, graph), [])
    return any(node.name in candidates or node.name in heavy for node in taking)
