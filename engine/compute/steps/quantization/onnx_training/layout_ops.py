"""ONNX operators that only move values or make shapes, in torch; shapes and indices are tensors on the CPU."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.compute.steps.quantization.onnx_training.operators import Attributes, Inputs, Operator, together

DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}
"""Of ONNX's numbers of types."""


def _reshaped(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, shape = inputs[0], inputs[1].tolist()
    if not attributes.get("allowzero", 0):
        # 0 keeps the input's size there, -1 is what is left, as in torch.
        shape = [values.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    result: Tensor = values.reshape(shape)
    return result


def _transposed(inputs: Inputs, attributes: Attributes) -> Tensor:
    axes = attributes.get("perm") or list(reversed(range(inputs[0].dim())))
    result: Tensor = inputs[0].permute(list(axes))
    return result


def _flattened(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, axis = inputs[0], attributes.get("axis", 1)
    axis = axis if axis >= 0 else axis + values.dim()
    result: Tensor = values.reshape(math.prod(values.shape[:axis]), -1)
    return result


def _concatenated(inputs: Inputs, attributes: Attributes) -> Tensor:
    return torch.cat(together(*inputs), attributes["axis"])


def _split(inputs: Inputs, attributes: Attributes) -> tuple[Tensor, ...]:
    values, axis = inputs[0], attributes.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        return torch.split(values, inputs[1].tolist(), axis)
    return torch.split(values, math.ceil(values.shape[axis] / attributes["num_outputs"]), axis)


def _sliced(inputs: Inputs, _attributes: Attributes) -> Tensor:
    values, starts, ends = inputs[0], inputs[1].tolist(), inputs[2].tolist()
    given = (*inputs[3:], None, None)[:2]
    axes = range(len(starts)) if given[0] is None else given[0].tolist()
    steps = [1] * len(starts) if given[1] is None else given[1].tolist()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        kept = range(values.shape[axis])[slice(start, _end(end, step), step)]
        # range() clips out-of-range and negative bounds as ONNX does. Forward slices are views; torch has no negative
        # steps, so that backward ones are gathered.
        if step > 0:
            width = max(kept.stop - kept.start, 0)
            values = values.narrow(axis, kept.start if width else 0, width)
            if step > 1:
                values = values[(slice(None),) * (axis % values.dim()) + (slice(None, None, step),)]
        else:
            values = values.index_select(axis, torch.tensor(list(kept), device=values.device))
    result: Tensor = values
    return result


def _end(end: int, step: int) -> int | None:
    """ONNX writes "to the first" of a backward slice as a very small number."""
    return None if step < 0 and end < -(2**31) else end


def _squeezed(inputs: Inputs, _attributes: Attributes) -> Tensor:
    result: Tensor = inputs[0].squeeze() if len(inputs) < 2 else inputs[0].squeeze(tuple(inputs[1].tolist()))
    return result


def _unsqueezed(inputs: Inputs, _attributes: Attributes) -> Tensor:
    values, axes = inputs[0], inputs[1].tolist()
    size = values.dim() + len(axes)
    for axis in sorted(axis % size for axis in axes):
        values = values.unsqueeze(axis)
    result: Tensor = values
    return result


def _padded(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, pads = inputs[0], inputs[1].tolist()
    fill, axes = (*inputs[2:], None, None)[:2]
    named = range(values.dim()) if axes is None else [axis % values.dim() for axis in axes.tolist()]
    sides = [0] * 2 * values.dim()
    for number, axis in enumerate(named):
        # ONNX: all befores in the order of axes, then all behinds; torch: pairs from the last dimension to the first.
        sides[2 * (values.dim() - 1 - axis)] = pads[number]
        sides[2 * (values.dim() - 1 - axis) + 1] = pads[number + len(named)]
    mode = attributes.get("mode", b"constant").decode()
    if mode == "constant":
        return functional.pad(values, sides, value=0.0 if fill is None else fill.item())
    # Reflection and its like take the padded dimensions alone: what is not padded in front is left out.
    while len(sides) > 2 and sides[-2:] == [0, 0]:
        sides = sides[:-2]
    return functional.pad(values, sides, {"edge": "replicate", "wrap": "circular"}.get(mode, mode))


def _shape(inputs: Inputs, attributes: Attributes) -> Tensor:
    sizes = list(inputs[0].shape)
    return torch.tensor(sizes[attributes.get("start", 0) : attributes.get("end")], dtype=torch.int64)


def _gathered(inputs: Inputs, attributes: Attributes) -> Tensor:
    values, indices = inputs
    axis = attributes.get("axis", 0) % values.dim()
    indices = indices.to(values.device)
    # index_select takes flat indices that are not negative; any shape of indices stands in place of the axis after it.
    flat = torch.where(indices < 0, indices + values.shape[axis], indices).reshape(-1)
    shape = (*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :])
    result: Tensor = values.index_select(axis, flat).reshape(shape)
    return result


def _gathered_points(inputs: Inputs, attributes: Attributes) -> Tensor:
    if attributes.get("batch_dims", 0):
        raise NotImplementedError("GatherND with batch_dims")
    values, indices = inputs
    result: Tensor = values[tuple(indices.to(values.device).unbind(-1))]
    return result


def _scattered_points(inputs: Inputs, attributes: Attributes) -> Tensor:
    if attributes.get("reduction", b"none") != b"none":
        raise NotImplementedError("ScatterND with a reduction")
    values, indices, updates = inputs
    values, updates = together(values, updates)
    return values.index_put(tuple(indices.to(values.device).unbind(-1)), updates)


def _expanded(inputs: Inputs, _attributes: Attributes) -> Tensor:
    values, shape = inputs[0], inputs[1].tolist()
    result: Tensor = values.expand(torch.broadcast_shapes(values.shape, shape))  # type: ignore[no-untyped-call]
    return result


def _filled(inputs: Inputs, attributes: Attributes) -> Tensor:
    value = attributes.get("value", torch.zeros(1))
    return torch.full(inputs[0].tolist(), value.item(), dtype=value.dtype)


def _counted(inputs: Inputs, _attributes: Attributes) -> Tensor:
    start, end, step = (value.item() for value in inputs)
    return torch.arange(start, end, step, dtype=inputs[0].dtype)


def _constant(_inputs: Inputs, attributes: Attributes) -> Any:
    return next(iter(attributes.values()))


DATA_MOVEMENT: dict[str, Operator] = {
    "Cast": lambda inputs, attributes: inputs[0].to(DTYPES[attributes["to"]]),
    "Concat": _concatenated,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Dropout": lambda inputs, _attributes: inputs[0],
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "GatherND": _gathered_points,
    "Identity": lambda inputs, _attributes: inputs[0],
    "Pad": _padded,
    "Range": _counted,
    "Reshape": _reshaped,
    "ScatterND": _scattered_points,
    "Shape": _shape,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": lambda inputs, _attributes: inputs[0].repeat(inputs[1].tolist()),
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Where": lambda inputs, _attributes: torch.where(*together(*inputs)),
}
"""Operators by ONNX's name (opset 18 and later)."""
