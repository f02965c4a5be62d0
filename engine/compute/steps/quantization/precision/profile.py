"""Times of a file's nodes in a runtime, told by the names that the float graph has for them."""

import math
import re

import onnx

from engine.compute.onnx.graph import Graph
from engine.compute.onnx.shape import Shape, example
from engine.compute.runtimes.base import OPENED, imported
from engine.compute.steps.quantization.choose import FUSED
from engine.params.runtimes import ProfiledRuntime

RUNS, WARMUP = 40, 10
"""Calls that are profiled, and calls before that are not counted."""
ACTIVATIONS = (*FUSED, "HardSwish", "HardSigmoid", "Gelu")
CROSSING = ("QuantizeLinear", "DequantizeLinear")
_RUNTIMES_OWN = re.compile(r"(_token_\d+|_nchwc|/duplicated.*)+$")
"""What runtimes put behind the names of nodes that they make of others."""
_QUANTIZING = re.compile("_(de)?quantize$")
_IN_NO_FILE = re.compile(r"(Convert|Subtract|Multiply|Constant|Reshape|FakeQuantize)_\d+$")
"""Parts of a QuantizeLinear or DequantizeLinear as a runtime may take them apart: they are in no file."""


Times = list[tuple[str, str, float]]
"""Operator, name and microseconds of each node that is executed, in order."""


def node_times(
    file: onnx.ModelProto, shape: Shape, threads: int, runtime: ProfiledRuntime = "onnxruntime"
) -> Times:
    """Median times of what the runtime executes for one image.

    To be called while nothing else of ours computes. Raises Unavailable when it does not take the file.
    """
    executed = imported(OPENED[runtime].executed)
    found = executed(file.SerializeToString(), example(1, shape), threads, WARMUP, RUNS)
    return [
        (_operator(operator, made_of), _node(name, made_of), time) for operator, name, made_of, time in found
    ]


def _operator(operator: str, made_of: list[str]) -> str:
    """What was made of nodes that quantize or dequantize alone does only that."""
    return CROSSING[0] if made_of and not _computing(made_of) and _crossing(made_of) else operator


def _node(name: str, made_of: list[str]) -> str:
    """The name of what a node computes first, of those that were fused into it; of what crosses, of the last."""
    return (_computing(made_of) or _crossing(made_of)[-1:] or [name])[0]


def _computing(made_of: list[str]) -> list[str]:
    # A linear layer is called by what it gives, which an INT8 file's output renames.
    names = [name.partition("/WithoutBiases")[0].removesuffix("_exact") for name in made_of]
    return [name for name in names if not _QUANTIZING.search(name) and not _IN_NO_FILE.match(name)]


def _crossing(made_of: list[str]) -> list[str]:
    return [name for name in made_of if _QUANTIZING.search(name)]


def by_node(times: Times, graph: Graph) -> dict[str, float]:
    """Microseconds by the name of the float graph's node, without those of Q and DQ nodes.

    The runtime calls a node by its name, or by the tensor that it gives once others are fused into it. What it
    adds of its own, and activations, count for the node before.
    """
    named = {node.name: node for node in graph.nodes}
    by_name: dict[str, float] = {}
    last = ""
    for operator, name, time in times:
        plain = _RUNTIMES_OWN.sub("", name)
        tensor = plain.removesuffix("_dequantize").removesuffix("_quantize")
        node = named.get(plain) or graph.producers.get(tensor)
        while node is not None and node.op_type in ACTIVATIONS:
            node = graph.producers.get(node.input[0])
        last = node.name if node is not None else last
        if last and operator not in CROSSING:
            by_name[last] = by_name.get(last, 0.0) + time
    return by_name


def crossing_rate(times: Times, graph: Graph) -> float:
    """Microseconds for each value that is quantized or dequantized, of the nodes that do only that."""
    counts = elements(graph)
    spent = total = 0.0
    for operator, name, time in times:
        tensor = _RUNTIMES_OWN.sub("", name).removesuffix("_dequantize").removesuffix("_quantize")
        if operator in CROSSING and tensor in counts:
            spent, total = spent + time, total + counts[tensor]
    return spent / total if total else 0.0


def elements(graph: Graph) -> dict[str, int]:
    """Numbers that each tensor holds for one image, where that is known."""
    values = (*graph.model.graph.value_info, *graph.model.graph.input, *graph.model.graph.output)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: math.prod(max(dim.dim_value, 1) for dim in dims) for name, dims in shapes.items()}
