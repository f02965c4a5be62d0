"""The INT8 file of a float graph: quantize and dequantize nodes (Q/DQ) around what computes in integers.

Activations are uint8 with a zero point, weights int8 around zero, biases int32 in steps of both: the form that
runtimes turn into integer kernels (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference").
"""

from collections.abc import Set

import numpy as np
import onnx
from onnx import helper

from engine.compute.onnx.graph import Array, Graph
from engine.compute.steps.quantization.calibrate import Ranges
from engine.compute.steps.quantization.choose import WEIGHTED_OPS, Choice, choose
from engine.compute.steps.quantization.graph import along, output_axis
from engine.machine import environment

LEVELS = 255
"""Steps of a quantized activation."""
LEAST_RANGE = 1e-6
"""Width below which an activation counts as constant: its scale must not become zero."""
LARGEST_BIAS = 2**30
"""Steps that a bias may have: half of what int32 holds, so that sums stay inside."""
INTEGER_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm")
"""Processor features with which sums of uint8 times int8 are exact."""


def quantized(
    graph: onnx.ModelProto, ranges: Ranges, *, skip: Set[str] = frozenset(), per_channel: bool = True
) -> onnx.ModelProto:
    """The Q/DQ form of a float `graph`; it is left as it is.

    Args:
        graph: A float graph as `float_graph` makes it.
        ranges: The ranges of its activations, as `calibrate.ranges` finds them.
        skip: Names of nodes that stay in float.
        per_channel: Whether each output channel of a weight has its own scale.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    written = Graph(model)
    choice = choose(written, skip)
    scales = _Scales(choice, ranges)
    nodes = {node.name: node for node in written.nodes}
    for name in choice.nodes:
        if nodes[name].op_type in WEIGHTED_OPS:
            _quantize_weight(nodes[name], written, scales, per_channel=per_channel)
    _wrap_activations(written, choice, scales)
    ordered(model)
    return model


def weight_levels() -> int:
    """The largest integer of a weight: 127, or 63 where the processor adds pairs of products in 16 bits.

    There two products of an uint8 and a whole int8 can overflow, and saturate without notice.
    """
    return 127 if set(environment.cpu()["flags"]) & set(INTEGER_FLAGS) else 63


class _Scales:
    """Scale and zero point of every quantized activation."""

    def __init__(self, choice: Choice, ranges: Ranges) -> None:
        self._same = choice.same
        self._of = {name: affine(*ranges.bounds[name]) for name in choice.tensors}

    def of(self, name: str) -> tuple[float, int]:
        return self._of[self._same.get(name, name)]


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale (a float32's value) and zero point (0 … 255) of a range that is widened to hold zero.

    >>> affine(0.0, 255.0), affine(-1.0, 1.55)
    ((1.0, 0), (0.009999999776482582, 100))
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max(high - low, LEAST_RANGE) / LEVELS))
    return scale, int(np.clip(round(-low / scale), 0, LEVELS))


def _quantize_weight(node: onnx.NodeProto, graph: Graph, scales: _Scales, *, per_channel: bool) -> None:
    """Put the node's weight and bias in as integers behind a DequantizeLinear each."""
    weight = graph.array(node.input[1])
    axis = output_axis(node) % weight.ndim
    held_scale, _ = scales.of(node.input[0])
    bias = graph.array(node.input[2]) if len(node.input) > 2 else None
    steps = weight_scales(weight, axis if per_channel else None)
    if bias is not None:
        most = np.abs(bias) if per_channel else np.abs(bias).max(keepdims=True)
        steps = np.maximum(steps, (most / (held_scale * LARGEST_BIAS)).astype(np.float32))
    integers = rounded(weight, steps, axis if per_channel else None)
    node.input[1] = _dequantized(graph, node.input[1], integers, steps, axis if per_channel else None)
    if bias is not None:
        of_bias = (steps.astype(np.float64) * held_scale).astype(np.float32)
        whole = np.rint(bias.astype(np.float64) / of_bias).astype(np.int32)
        name = f"{node.name}.bias"
        node.input[2] = _dequantized(graph, name, whole, of_bias, 0 if per_channel else None)


def dequantized_weight(node: onnx.NodeProto, graph: Graph, *, per_channel: bool) -> Array:
    """The node's weight as its integers tell it."""
    weight = graph.array(node.input[1])
    axis = output_axis(node) % weight.ndim if per_channel else None
    steps = weight_scales(weight, axis)
    return rounded(weight, steps, axis) * along(steps, axis, weight.ndim)


def rounded(weight: Array, steps: Array, axis: int | None) -> Array:
    """The weight's integers, int8."""
    levels = weight_levels()
    whole = np.rint(weight / along(steps, axis, weight.ndim))
    return np.asarray(np.clip(whole, -levels, levels).astype(np.int8))


def weight_scales(weight: Array, axis: int | None) -> Array:
    """The step of each channel along `axis` (all as one without it), float32: (channels,) or (1,)."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    most = np.abs(weight).max(axis=others).reshape(-1)
    # A channel of zeros has any step: one that is not zero.
    return np.where(most > 0, most / weight_levels(), 1.0).astype(np.float32)


def _dequantized(graph: Graph, name: str, integers: Array, steps: Array, axis: int | None) -> str:
    """Add the integers as constants with a node that makes floats of them; the name of its output.

    A weight that several nodes take with equal integers is held once.
    """
    taken = f"{name}_int" if f"{name}_int" not in graph.constants else graph.unused(f"{name}_int")
    scale, zero, output = f"{taken}_scale", f"{taken}_zero", f"{taken}_float"
    graph.put(taken, integers)
    graph.put(scale, steps if axis is not None else steps.reshape(()))
    graph.put(zero, np.zeros_like(steps if axis is not None else steps.reshape(()), integers.dtype))
    given = {} if axis is None else {"axis": axis}
    made = helper.make_node(
        "DequantizeLinear", [taken, scale, zero], [output], f"{taken}_dequantize", **given
    )
    graph.model.graph.node.append(made)
    return output


def _wrap_activations(graph: Graph, choice: Choice, scales: _Scales) -> None:
    """Put Q and DQ behind every quantized activation, for those who are to take it so."""
    integer = set(choice.nodes)
    for name in (*choice.inputs, *choice.outputs):
        scale, zero = scales.of(name)
        given_by = name
        if name in choice.outputs and name in graph.outputs:
            given_by = _renamed_output(graph, name)
        taking = graph.consumers.get(name, [])
        if name in choice.inputs:
            taking = [node for node in taking if node.name in integer]
        output = name if given_by != name else f"{name}_float"
        for node in taking:
            node.input[:] = [output if one == name else one for one in node.input]
        held = f"{name}_scale", f"{name}_zero"
        graph.put(held[0], np.asarray(scale, np.float32))
        graph.put(held[1], np.asarray(zero, np.uint8))
        graph.model.graph.node.extend(
            [
                helper.make_node("QuantizeLinear", [given_by, *held], [f"{name}_int"], f"{name}_quantize"),
                helper.make_node("DequantizeLinear", [f"{name}_int", *held], [output], f"{name}_dequantize"),
            ]
        )


def _renamed_output(graph: Graph, name: str) -> str:
    """Call what a node gives otherwise, so that the graph's output can be what is dequantized; the new name."""
    node, new = graph.producers[name], f"{name}_exact"
    node.output[:] = [new if one == name else one for one in node.output]
    return new


def ordered(model: onnx.ModelProto) -> None:
    """Put the nodes in an order in which each comes after what it takes, and drop constants that nobody takes."""
    graph = model.graph
    nodes = list(graph.node)
    waiting = {name: index for index, node in enumerate(nodes) for name in node.output}
    placed: dict[int, None] = {}

    def place(index: int) -> None:
        stack = [index]
        while stack:
            top = stack[-1]
            before = [waiting[name] for name in nodes[top].input if name in waiting]
            missing = [one for one in before if one not in placed]
            if missing:
                stack.extend(reversed(missing))
            else:
                placed.setdefault(stack.pop())

    for index in range(len(nodes)):
        place(index)
    copies = [nodes[index] for index in placed]
    del graph.node[:]
    graph.node.extend(copies)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
