"""The inference runtimes and the precisions they compute in, as data.

A runtime is a name, a row of `KIND`, and a session class with its row in `engine.compute.runtimes.base`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Runtime = Literal["torch", "torch-compile", "onnxruntime", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
TargetRuntime = Literal["torch", "onnxruntime", "openvino"]
"""Those that open one network after the other in no time, so that a search may measure in them."""
ProfiledRuntime = Literal["onnxruntime", "openvino"]
"""Those that tell what each node of a file takes."""
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LARGEST_BATCH = 4096
"""Images of a call at most."""
INT8 = "int8"
"""What the rows of a quantized model are labelled with: a property of its file, not of the runtime's settings."""


@dataclass(frozen=True)
class Kind:
    """What is known of a runtime without importing it.

    `label` is its name in sentences, `short` in narrow columns, `about` what there is to know before one chooses it.
    `packages` are the distributions that may bring it, the first that is installed gives its version; `module` is
    what it is imported as. `reads` is what it opens: a checkpoint folder or an ONNX file (INT8 files are ONNX files).
    `reduced` are the precisions below fp32 that it can compute in where the processor can, `reduced_on_gpu` where a
    GPU computes; `gpu`: whether it uses one, `always` or with a `provider` file of its own. `extra` is the extra of
    secateur that brings it, empty for one that is always installed.
    """

    label: str
    short: str
    packages: tuple[str, ...]
    module: str
    reads: Literal["folder", "onnx"]
    reduced: tuple[Precision, ...] = ()
    reduced_on_gpu: tuple[Precision, ...] = ()
    gpu: Literal["always", "provider", "never"] = "never"
    provider: str = ""
    compiles: bool = False
    extra: str = ""
    about: str = ""


KIND: dict[Runtime, Kind] = {
    "torch": Kind(
        "PyTorch",
        "torch",
        ("torch",),
        "torch",
        "folder",
        ("bf16", "fp16"),
        ("tf32", "bf16", "fp16"),
        gpu="always",
        about="PyTorch as it is (eager): always there, seldom the fastest",
    ),
    "torch-compile": Kind(
        "torch.compile",
        "compiled",
        ("torch",),
        "torch",
        "folder",
        ("bf16", "fp16"),
        ("tf32", "bf16", "fp16"),
        gpu="always",
        compiles=True,
        about="PyTorch's own compiler; starting it takes long",
    ),
    "onnxruntime": Kind(
        "ONNX Runtime",
        "ort",
        ("onnxruntime", "onnxruntime-gpu"),
        "onnxruntime",
        "onnx",
        reduced_on_gpu=("tf32", "fp16"),
        gpu="provider",
        provider="capi/libonnxruntime_providers_cuda.so",
        about="runs anywhere, and INT8 files too",
    ),
    "openvino": Kind(
        "OpenVINO",
        "openvino",
        ("openvino",),
        "openvino",
        "onnx",
        ("bf16", "fp16"),
        extra="openvino",
        about="often the fastest on Intel's processors",
    ),
}
"""Every runtime's row."""

INT8_RUNTIMES: tuple[Runtime, ...] = tuple(name for name, kind in KIND.items() if kind.reads == "onnx")
"""Runtimes that execute an INT8 file."""
