"""Times of a file's nodes in ONNX Runtime, told by the names that the float graph has for them."""

import json
import math
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from engine.compute.numerics.aligned import to_array
from engine.compute.onnx.graph import Graph
from engine.compute.onnx.onnxruntime import options
from engine.compute.onnx.shape import Shape, example
from engine.compute.steps.quantization.choose import FUSED

RUNS, WARMUP = 40, 10
"""Calls that are profiled, and calls before that are not counted."""
ACTIVATIONS = (*FUSED, "HardSwish", "HardSigmoid", "Gelu")
CROSSING = ("QuantizeLinear", "DequantizeLinear")
_RUNTIMES_OWN = re.compile(r"(_token_\d+|_nchwc|/duplicated.*)+$")
"""What ONNX Runtime puts behind the names of nodes that it makes of others."""


Times = list[tuple[str, str, float]]
"""Operator, name and microseconds of each node that is executed, in order."""


def node_times(file: onnx.ModelProto, shape: Shape, threads: int) -> Times:
    """Median times of what ONNX Runtime executes for one image.

    To be called while nothing else of ours computes.
    """
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        chosen = options(threads)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(file.SerializeToString(), chosen, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: to_array(example(1, shape))}
        for _ in range(WARMUP + RUNS):
            session.run(None, given)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    durations: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["args"]["op_name"], event["name"].removesuffix("_kernel_time")
            durations.setdefault(key, []).append(event["dur"])
    return [
        (operator, name, statistics.median(each[WARMUP:])) for (operator, name), each in durations.items()
    ]


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
