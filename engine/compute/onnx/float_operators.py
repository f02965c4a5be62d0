"""Which operators of an INT8 file ONNX Runtime computes in float, read from the graph that it made of the file."""

from pathlib import Path

import onnx
import onnxruntime as ort

from engine.compute.onnx.onnxruntime import FAILURES, options, providers
from engine.errors import SecateurError
from engine.machine import private

QUANTIZING = {"QuantizeLinear", "DynamicQuantizeLinear"}
INTEGER = {
    "QGemm",
    "QAttention",
    "ConvInteger",
    "MatMulInteger",
    "ConvIntegerToFloat",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
}
"""Operators that multiply integers, beside those called QLinear…"""
TO_FLOAT = {
    "DequantizeLinear",
    "Cast",
    "QAttention",
    "ConvIntegerToFloat",
    "MatMulIntegerToFloat",
}
"""Operators that take integers and give floats."""
QGEMM_SCALE = 7
"""The place of QGemm's input without which it gives floats: the scale of its output."""
DATA_MOVEMENT = {
    "Reshape",
    "Flatten",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "Identity",
    "Cast",
    "Shape",
    "Expand",
    "Pad",
    "ReorderInput",
    "ReorderOutput",
    "MemcpyFromHost",
    "MemcpyToHost",
    "DequantizeLinear",
    "Constant",
}
"""Operators that move values, or say what they are, and compute nothing."""


def float_operators(path: Path, _shape: tuple[int, ...] = (), device: str = "cpu") -> dict[str, int]:
    """How many operators of each type are computed in float, after all of ONNX Runtime's graph optimizations.

    Of whatever input: the file says its shape. On a GPU they are others, since what its provider lacks in integers it
    computes in float."""
    with private.scratch() as folder:
        return _floats(onnx.load_model(_optimized(path, device, folder / "optimized.onnx")).graph)


def _optimized(path: Path, device: str, out: Path) -> Path:
    chosen = options(1)
    chosen.optimized_model_filepath = str(out)
    try:
        ort.InferenceSession(str(path), chosen, providers=providers(device))
    except FAILURES as error:
        raise SecateurError("ONNX Runtime does not take the model", f"{path.name}: {error}") from error
    return out


def _floats(graph: onnx.GraphProto) -> dict[str, int]:
    """Follows which values are integers: an operator that is fed with one of those does not compute in float."""
    integers = {t.name for t in graph.initializer if t.data_type not in _FLOAT_TYPES}
    counts: dict[str, int] = {}
    for node in graph.node:
        fed = bool(node.input) and node.input[0] in integers
        if fed or node.op_type in QUANTIZING or node.op_type.startswith("QLinear"):
            if not _gives_floats(node):
                integers.update(node.output)
        elif node.op_type not in DATA_MOVEMENT | INTEGER:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def _gives_floats(node: onnx.NodeProto) -> bool:
    if node.op_type == "QGemm":
        return not any(node.input[QGEMM_SCALE:])
    return node.op_type in TO_FLOAT


_FLOAT_TYPES = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
