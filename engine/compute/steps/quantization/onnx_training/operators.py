"""ONNX operators that compute, in torch: what the graphs of classification networks are made of.

Each takes the node's inputs (None where one is left out) and its attributes, as ONNX declares them, and gives the
node's output. Operators that only move values are in `layout_ops`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Inputs = Sequence[Any]
"""Tensors; None for an input that is left out."""
Attributes = dict[str, Any]
Operator = Callable[[Inputs, Attributes], Any]


def _padding(attributes: Attributes, size: int) -> tuple[list[int], list[int]]:
    """What is put before and behind each of `size` dimensions."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotImplementedError("auto_pad SAME")
    pads = list(attributes.get("pads", [0] * 2 * size))
    return pads[:size], pads[size:]


def _padded(values: Tensor, attributes: Attributes, size: int, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """The input, padded here if that differs before and behind; what the operator has to pad itself."""
    before, behind = _padding(attributes, size)
    if before == behind:
        return values, before
    # functional.pad takes pairs from the last dimension to the first, ONNX all befores and then all behinds.
    sides = [side for pair in zip(reversed(before), reversed(behind), strict=True) for side in pair]
    return functional.pad(values, sides, value=fill), [0] * size


def _convolution(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, weight, bias = (*inputs, None)[:3]
    size = weight.dim() - 2
    values, pads = _padded(values, attributes, size)
    # Not torch.convolution, which autocast leaves in float32.
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[size - 1]
    ones = [1] * size
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    return convolve(values, weight, bias, strides, pads, dilations, attributes.get("group", 1))


def _transposed_convolution(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, weight, bias = (*inputs, None)[:3]
    size = weight.dim() - 2
    before, behind = _padding(attributes, size)
    if before != behind or "output_shape" in attributes:
        raise NotImplementedError("ConvTranspose of another form")
    functions = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
    ones = [1] * size
    return functions[size - 1](
        values,
        weight,
        bias,
        attributes.get("strides", ones),
        before,
        attributes.get("output_padding", [0] * size),
        attributes.get("group", 1),
        attributes.get("dilations", ones),
    )


def _gemm(inputs: Inputs, attributes: Attributes) -> Tensor:
    one, two, bias = (*inputs, None)[:3]
    one = one.T if attributes.get("transA", 0) else one
    two = two if attributes.get("transB", 0) else two.T
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    # As one linear: the sum with the bias then rounds as in the network that was exported.
    if alpha == beta == 1 and (bias is None or bias.dim() == 1):
        return functional.linear(one, two, bias)
    product: Tensor = alpha * functional.linear(one, two)
    return product if bias is None else product + beta * bias


def _max_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    kernel = list(attributes["kernel_shape"])
    values, pads = _padded(inputs[0], attributes, len(kernel), -torch.inf)
    pool = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[len(kernel)]
    ones = [1] * len(kernel)
    result: Tensor = pool(
        values,
        kernel,
        list(attributes.get("strides", ones)),
        pads,
        list(attributes.get("dilations", ones)),
        bool(attributes.get("ceil_mode", 0)),
    )
    return result


def _average_pool(inputs: Inputs, attributes: Attributes) -> Tensor:
    kernel = list(attributes["kernel_shape"])
    counted = bool(attributes.get("count_include_pad", 0))
    before, behind = _padding(attributes, len(kernel))
    if before != behind or any(step != 1 for step in attributes.get("dilations", [])):
        raise NotImplementedError("AveragePool with uneven pads or dilations")
    pool = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}[len(kernel)]
    strides = list(attributes.get("strides", [1] * len(kernel)))
    result: Tensor = pool(inputs[0], kernel, strides, before, bool(attributes.get("ceil_mode", 0)), counted)
    return result


def _layer_norm(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, scale, shift = (*inputs, None)[:3]
    shape = values.shape[attributes.get("axis", -1) :]
    return functional.layer_norm(values, shape, scale, shift, attributes.get("epsilon", 1e-5))


def _batch_norm(inputs: Inputs, attributes: Attributes) -> Tensor:
    """As in eval mode: its statistics are constants of the file."""
    values, scale, shift, mean, variance = inputs
    epsilon = attributes.get("epsilon", 1e-5)
    return functional.batch_norm(values, mean, variance, scale, shift, False, 0.0, epsilon)


def _clip(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, low, high = (*inputs, None, None)[:3]
    low = attributes.get("min") if low is None else low.to(values.device)
    high = attributes.get("max") if high is None else high.to(values.device)
    return torch.clamp(values, low, high)


def _hard_sigmoid(inputs: Inputs, attributes: Attributes) -> Tensor:
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    # torch's own has a fused gradient; ONNX writes its 1/6 as a float32.
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return functional.hardsigmoid(inputs[0])
    return torch.clamp(alpha * inputs[0] + beta, 0, 1)


def _gelu(inputs: Inputs, attributes: Attributes) -> Tensor:
    return functional.gelu(inputs[0], approximate=attributes.get("approximate", b"none").decode())


def _axes(inputs: Inputs, attributes: Attributes) -> list[int]:
    """The axes that a reduction names, as an input (new) or an attribute (old); none for all."""
    given = inputs[1] if len(inputs) > 1 else None
    return list(attributes.get("axes", [])) if given is None else given.tolist()


def _reduced(by: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def run(inputs: Inputs, attributes: Attributes) -> Tensor:
        axes = _axes(inputs, attributes)
        if not axes and attributes.get("noop_with_empty_axes", 0):
            kept: Tensor = inputs[0]
            return kept
        return by(inputs[0], axes or list(range(inputs[0].dim())), bool(attributes.get("keepdims", 1)))

    return run


def _unary(by: Callable[[Tensor], Tensor]) -> Operator:
    return lambda inputs, _attributes: by(inputs[0])


def _binary(by: Callable[[Any, Any], Any]) -> Operator:
    return lambda inputs, _attributes: by(*together(*inputs))


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    steep = (base == 0) & (exponent > 0) & (exponent < 1)
    return _flat_where(steep, base, lambda values: torch.pow(values, exponent))


def _root(values: Tensor) -> Tensor:
    return _flat_where(values == 0, values, torch.sqrt)


def _flat_where(steep: Tensor, values: Tensor, by: Callable[[Tensor], Tensor]) -> Tensor:
    """`by` of the values, but 0 without a slope where it is `steep`: roots have an infinite one at 0, and 8 bits make
    zeros of what a network keeps above them."""
    result = by(torch.where(steep, torch.ones_like(values), values))
    return torch.where(steep, torch.zeros_like(result), result)


def together(*values: Tensor) -> list[Tensor]:
    """The tensors on the device of that which is not on the CPU, if one is: shapes are computed on the CPU."""
    device = next((value.device for value in values if value.device.type != "cpu"), None)
    return list(values) if device is None else [value.to(device) for value in values]


def _divided(one: Tensor, two: Tensor) -> Tensor:
    # ONNX divides integers (sizes of shapes) towards zero, torch would give floats.
    whole = not one.is_floating_point()
    return torch.div(one, two, rounding_mode="trunc" if whole else None)


COMPUTING: dict[str, Operator] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Div": _binary(_divided),
    "Einsum": lambda inputs, attributes: torch.einsum(attributes["equation"].decode(), *together(*inputs)),
    "Elu": lambda inputs, attributes: functional.elu(inputs[0], attributes.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(list(range(2, inputs[0].dim())), keepdim=True),
    "GlobalMaxPool": lambda inputs, _: inputs[0].amax(list(range(2, inputs[0].dim())), keepdim=True),
    "Greater": _binary(torch.gt),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(functional.hardswish),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda inputs, attributes: functional.leaky_relu(inputs[0], attributes.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "Log": _unary(torch.log),
    "MatMul": _binary(torch.matmul),
    "Max": _binary(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _binary(torch.minimum),
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or),
    "PRelu": _binary(lambda values, slope: torch.where(values >= 0, values, values * slope)),
    "Pow": _binary(_power),
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduced(lambda values, axes, keep: torch.linalg.vector_norm(values, dim=axes, keepdim=keep)),
    "ReduceMax": _reduced(lambda values, axes, keep: values.amax(axes, keep)),
    "ReduceMean": _reduced(lambda values, axes, keep: values.mean(axes, keep)),
    "ReduceSum": _reduced(lambda values, axes, keep: values.sum(axes, keep)),
    "Relu": _unary(torch.relu),
    "Sigmoid": _unary(torch.sigmoid),
    "Softmax": lambda inputs, attributes: torch.softmax(inputs[0], attributes.get("axis", -1)),
    "Softplus": _unary(functional.softplus),
    "Sqrt": _unary(_root),
    "Sub": _binary(torch.sub),
    "Tanh": _unary(torch.tanh),
}
"""Operators by ONNX's name (opset 18 and later)."""
