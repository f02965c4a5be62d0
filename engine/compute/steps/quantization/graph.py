"""The float graph that an INT8 file is made from: weights under their names, BatchNorm folded, constants computed."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from engine.compute.models.alike import folder_for
from engine.compute.onnx.export import export
from engine.compute.onnx.graph import COPY, Array, Graph, attribute, layer_of
from engine.compute.onnx.shape import Shape
from engine.machine import private


def float_graph(model: nn.Module, shape: Shape, templates: Path | None = None) -> onnx.ModelProto:
    """`model` as a float ONNX graph: input (N, C, H, W) of any N, BatchNorm folded, every node with a name of its own.

    A layer's weight keeps its name in the state_dict, whatever was folded into it. `templates` is a folder where
    graphs are kept for networks built alike. Raises SecateurError when the model cannot be exported.
    """
    # The file's bits are a result: a graph of a network that is only alike as far as one can see would not do.
    alike = folder_for(templates, model) if templates is not None else None
    with private.scratch() as folder:
        file = export(model, shape, folder / "model.onnx", templates=alike, any_width=True, pack=False)
        exported = onnx.load_model(file)
    # Shapes are inferred at the end: those of the exporter would contradict constants that take a weight's name.
    del exported.graph.value_info[:]
    graph = Graph(exported)
    _compute_constants(graph)
    _pool_globally(graph)
    _fold_norms(graph)
    _name_nodes(graph)
    return onnx.shape_inference.infer_shapes(exported)


def _compute_constants(graph: Graph) -> None:
    """Replace every node whose inputs are all constants by its result, under the name of the weight it changes."""
    gone = []
    for node in graph.nodes:
        inputs = [name for name in node.input if name]
        if not inputs or len(node.output) != 1 or any(name not in graph.constants for name in inputs):
            continue
        values = _evaluated(node, graph)
        largest = max(inputs, key=lambda name: graph.array(name).size)
        alone = graph.only_consumer(largest) is node
        name = largest if alone and graph.array(largest).dtype == values.dtype else graph.unused(largest)
        for taken in set(inputs):
            graph.consumers[taken].remove(node)
        graph.put(name, values)
        _reconnect(graph, node.output[0], name)
        gone.append(node)
    graph.remove(gone)


def _reconnect(graph: Graph, old: str, new: str) -> None:
    taking = graph.consumers.pop(old, [])
    for node in taking:
        node.input[:] = [new if name == old else name for name in node.input]
    graph.consumers.setdefault(new, []).extend(taking)


def _evaluated(node: onnx.NodeProto, graph: Graph) -> Array:
    names = list(dict.fromkeys(name for name in node.input if name))
    values = {name: graph.array(name) for name in names}
    inputs = [
        helper.make_tensor_value_info(name, graph.constants[name].data_type, list(values[name].shape))
        for name in names
    ]
    output = onnx.ValueInfoProto(name=node.output[0])
    single = helper.make_graph([node], "constant", inputs, [output])
    model = helper.make_model(single, opset_imports=graph.model.opset_import)
    return np.asarray(ReferenceEvaluator(model).run(None, values)[0])


def _pool_globally(graph: Graph) -> None:
    """Means over height and width become GlobalAveragePool, which runtimes have in integers."""
    for node in graph.nodes:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in graph.constants:
            continue
        if sorted(axis % 4 for axis in graph.array(node.input[1]).tolist()) != [2, 3] or not _is_image(
            node, graph
        ):
            continue
        keep = attribute(node, "keepdims", 1)
        del node.input[1:], node.attribute[:]
        node.op_type = "GlobalAveragePool"
        if not keep:
            _flatten_behind(node, graph)
    graph.refresh()


def _is_image(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether the node's input is (N, C, H, W), by the operator that it comes from."""
    axes = graph.array(node.input[1])
    if axes.min() < 0:  # counted from the end, so the number of axes must be known
        shapes = onnx.shape_inference.infer_shapes(graph.model).graph.value_info
        known = {value.name: value.type.tensor_type.shape for value in shapes}
        return node.input[0] in known and len(known[node.input[0]].dim) == 4
    return True


def _flatten_behind(node: onnx.NodeProto, graph: Graph) -> None:
    """(N, C, 1, 1) to (N, C), as the mean without its axes was."""
    flat, pooled = node.output[0], f"{node.output[0]}_pooled"
    node.output[0] = pooled
    graph.put_behind(node, helper.make_node("Flatten", [pooled], [flat], name=f"{node.name}_flatten", axis=1))


def _fold_norms(graph: Graph) -> None:
    """Fold every BatchNorm behind a convolution or linear layer into its weight and bias."""
    gone = []
    for norm in graph.nodes:
        before: onnx.NodeProto | None = graph.producers.get(norm.input[0]) if norm.input else None
        if norm.op_type != "BatchNormalization" or before is None or not _takes_norm(before, norm, graph):
            continue
        scale, shift, mean, variance = (graph.array(name).astype(np.float64) for name in norm.input[1:5])
        factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
        _scale_outputs(before, graph, factor, shift - mean * factor)
        before.output[0] = norm.output[0]
        gone.append(norm)
    graph.remove(gone)


def _takes_norm(node: onnx.NodeProto, norm: onnx.NodeProto, graph: Graph) -> bool:
    """Whether `norm` may be folded into the weighted `node` before it."""
    alone = graph.only_consumer(norm.input[0]) is norm
    return alone and layer_of(node, graph) is not None and node.op_type != "MatMul"


def _scale_outputs(node: onnx.NodeProto, graph: Graph, factor: Array, shift: Array) -> None:
    """Let a weighted node compute `factor · output + shift`, per output channel."""
    name = node.input[1]
    weight, axis = graph.array(name), output_axis(node)
    groups = attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
    if groups > 1:
        wide = (
            factor.reshape(groups, 1, -1).repeat(weight.shape[0] // groups, axis=1).reshape(weight.shape[:2])
        )
        scaled = weight * wide.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
    else:
        scaled = weight * along(factor, axis % weight.ndim, weight.ndim)
    bias = graph.array(node.input[2]) if len(node.input) > 2 else np.zeros(len(factor))
    if graph.only_consumer(name) is not node:
        name = graph.unused(name)
    set_weight(node, graph, name, scaled.astype(weight.dtype))
    set_bias(node, graph, (bias * factor + shift).astype(weight.dtype))


def output_axis(node: onnx.NodeProto) -> int:
    """The axis of the node's weight along which its output channels lie."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)


def along(values: Array, axis: int | None, dims: int) -> Array:
    """One value for each channel, or one for all, as they multiply with a weight whose channels lie along `axis`."""
    return values.reshape([-1 if i == axis else 1 for i in range(dims)])


def set_weight(node: onnx.NodeProto, graph: Graph, name: str, values: Array) -> None:
    graph.put(name, values)
    node.input[1] = name


def set_bias(node: onnx.NodeProto, graph: Graph, values: Array) -> None:
    """Give a convolution or Gemm this bias: its own, or a new one of its layer."""
    if len(node.input) > 2:
        name = node.input[2]
        if graph.only_consumer(name) is not node:
            name = graph.unused(name)
        node.input[2] = name
    else:
        name = graph.unused(f"{layer_of(node, graph)}.bias")
        node.input.append(name)
    graph.put(name, values)


def _name_nodes(graph: Graph) -> None:
    """A weighted node is called as its layer, any other as its operator; each once, with a number if needed."""
    seen: dict[str, int] = {}
    for node in graph.nodes:
        name = layer_of(node, graph) or node.op_type
        seen[name] = seen.get(name, 0) + 1
        node.name = name if seen[name] == 1 else f"{name}{COPY}{seen[name]}"
