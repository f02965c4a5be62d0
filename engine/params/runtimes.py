"""The inference runtimes and the precisions they compute in, by name."""

from typing import Literal, get_args

Runtime = Literal["torch", "torch-compile", "onnxruntime", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
INT8 = "int8"
"""What the rows of a quantized model are labelled with: a property of its file, not of the runtime's settings."""
INT8_RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")
"""Runtimes that execute an INT8 file."""
