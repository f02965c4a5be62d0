"""Dynamic quantization: integer weights in the file, activations quantized anew on every call."""

from collections.abc import Set

import onnx
from onnx import TensorProto, helper

from engine.compute.onnx.graph import Array, Graph, layer_of
from engine.compute.steps.quantization.choose import is_weighted
from engine.compute.steps.quantization.graph import output_axis
from engine.compute.steps.quantization.write import ordered, rounded, weight_scales

Reasons = dict[str, str]
"""Why a layer stays in float, by its name."""


def dynamic(
    graph: onnx.ModelProto, *, skip: Set[str], convolutions: bool, per_channel: bool
) -> tuple[onnx.ModelProto, list[str], Reasons]:
    """The form of a float `graph` with integer products, the layers that are changed, and why others are not.

    `graph` is left as it is; nodes named by `skip` are not changed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    written = Graph(model)
    changed: list[str] = []
    left: Reasons = {}
    gone = []
    for node in written.weighted():
        layer = layer_of(node, written) or ""
        if (reason := _unchanged(node, written, skip, convolutions=convolutions)) is not None:
            left[layer] = reason
            continue
        made = (
            _convolution(node, written, per_channel)
            if node.op_type == "Conv"
            else _product(node, written, per_channel)
        )
        model.graph.node.extend(made)
        gone.append(node)
        changed.append(layer)
    for node in gone:
        model.graph.node.remove(node)
    ordered(model)
    return model, changed, left


def _unchanged(node: onnx.NodeProto, graph: Graph, skip: Set[str], *, convolutions: bool) -> str | None:
    if node.name in skip:
        return "skipped"
    if not is_weighted(node, graph):
        return f"{node.op_type} has no integer kernel of this form"
    if node.op_type == "Conv" and not convolutions:
        return "convolutions are slower with dynamic quantization"
    return None


def _product(node: onnx.NodeProto, graph: Graph, per_channel: bool) -> list[onnx.NodeProto]:
    """A linear layer: weights (inputs, outputs) in integers, the bias in float."""
    weight = graph.array(node.input[1])
    if output_axis(node) == 0:
        weight = weight.T
    name, scale = _held(graph, node, weight, 1 if per_channel else None)
    bias = None if len(node.input) < 3 else node.input[2]
    return _integers(node, "MatMulInteger", name, scale, bias, {})


def _convolution(node: onnx.NodeProto, graph: Graph, per_channel: bool) -> list[onnx.NodeProto]:
    weight = graph.array(node.input[1])
    name, scale = _held(graph, node, weight, 0 if per_channel else None)
    wide = [1, -1, *[1] * (weight.ndim - 2)]
    graph.put(scale, graph.array(scale).reshape(wide if per_channel else []))
    bias = None
    if len(node.input) > 2:
        bias = f"{node.name}.bias_wide"
        graph.put(bias, graph.array(node.input[2]).reshape(wide))
    settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    settings = {key: value.decode() if isinstance(value, bytes) else value for key, value in settings.items()}
    return _integers(node, "ConvInteger", name, scale, bias, settings)


def _held(graph: Graph, node: onnx.NodeProto, weight: Array, axis: int | None) -> tuple[str, str]:
    """Put a weight in as integers with its scales; the two names."""
    steps = weight_scales(weight, axis)
    name, scale = f"{node.name}.weight_int", f"{node.name}.weight_scale"
    graph.put(name, rounded(weight, steps, axis))
    graph.put(scale, steps.reshape([-1] if axis is not None else []))
    return name, scale


def _integers(
    node: onnx.NodeProto, kind: str, weight: str, scale: str, bias: str | None, settings: dict[str, object]
) -> list[onnx.NodeProto]:
    """The nodes that take the place of `node`: quantize, multiply, and scale back."""
    name, output = node.name, node.output[0]
    of_input = [f"{name}.input_int", f"{name}.input_scale", f"{name}.input_zero"]
    scaled = output if bias is None else f"{name}.scaled"
    made = [
        helper.make_node("DynamicQuantizeLinear", [node.input[0]], of_input, f"{name}.quantize"),
        helper.make_node(kind, [of_input[0], weight, of_input[2]], [f"{name}.sums"], name, **settings),
        helper.make_node("Cast", [f"{name}.sums"], [f"{name}.floats"], f"{name}.cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [of_input[1], scale], [f"{name}.scales"], f"{name}.scale"),
        helper.make_node("Mul", [f"{name}.floats", f"{name}.scales"], [scaled], f"{name}.rescale"),
    ]
    if bias is not None:
        made.append(helper.make_node("Add", [scaled, bias], [output], f"{name}.add"))
    return made
