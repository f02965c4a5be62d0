"""Imported by the fork server of a study that exports to ONNX: the exporter's own imports take seconds."""

import onnxruntime  # noqa: F401
import onnxscript  # noqa: F401
import torch.onnx._internal.exporter._core  # noqa: F401

import engine.compute.onnx.export  # noqa: F401
