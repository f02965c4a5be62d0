"""What every inference runtime offers, and how one is chosen by name.

A runtime turns a model into an *artefact* (what it needs on disk), and opens a *session* of an artefact in a
process of its own: two sessions awake in one process disturb each other (see DESIGN, latency).
"""

from pathlib import Path
from typing import Protocol, assert_never

from torch import Tensor, nn

from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.shape import Shape, example
from engine.errors import Unavailable
from engine.machine import runtimes
from engine.params.runtimes import INT8_RUNTIMES, Precision, Runtime


class Session(Protocol):
    """A loaded model, ready for inference on `threads` processor threads or a GPU."""

    def __call__(self) -> None:
        """Run one forward pass on the session's own fixed input, to its end; the output stays unread."""

    def run(self, inputs: Tensor) -> Tensor:
        """The model's output, on the CPU, for `inputs` (N, C, H, W) of any N."""


def artefact(
    runtime: Runtime, model: nn.Module, shape: Shape, folder: Path, *, templates: Path | None = None
) -> Path:
    """Write into `folder`, which holds the model's checkpoint, what `runtime` needs beyond it; what to open.

    `templates` is a folder where graphs of a structure are kept for the next model of the same structure;
    without it every export starts afresh. Raises Unavailable when the model cannot be exported, or when the
    artefact computes something else than the model.
    """
    if isinstance(model, QuantizedNetwork):
        return _own_file(runtime, model, folder)
    match runtime:
        case "torch" | "torch-compile":
            return folder
        case "onnxruntime" | "openvino":
            from engine.compute.onnx.export import export

            return export(model, shape, folder / "model.onnx", templates=templates)
        case _:
            assert_never(runtime)


def _own_file(runtime: Runtime, model: QuantizedNetwork, folder: Path) -> Path:
    """The INT8 file as it is: the runtimes that read ONNX open it."""
    if runtime not in INT8_RUNTIMES:
        raise Unavailable(runtimes.no_int8(runtime))
    path = folder / "model.onnx"
    path.write_bytes(model.file)
    return path


def session(
    runtime: Runtime,
    path: Path,
    *,
    batch: int,
    shape: Shape,
    threads: int,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> Session:
    """Open the artefact at `path` for inference; the fixed input is (`batch`, C, H, W).

    Meant to be the only session of its process: it sets the process's number of threads. A runtime that cannot
    use `device` computes on the processor (`engine.machine.runtimes.place`). Raises SecateurError when the runtime does
    not take the artefact, and Unavailable when it is not here, or does not compute in `precision` here.
    """
    if why := runtimes.reason(runtime, precision, device):
        raise Unavailable(why)
    inputs, place = example(batch, shape), runtimes.place(runtime, device)
    match runtime:
        case "torch":
            from engine.compute.runtimes.torch import TorchSession

            return TorchSession(path, inputs, threads, place, precision)
        case "torch-compile":
            from engine.compute.runtimes.compiled import CompiledSession

            return CompiledSession(path, inputs, threads, place, precision)
        case "onnxruntime":
            from engine.compute.onnx.onnxruntime import OnnxSession

            return OnnxSession(path, inputs, threads, place, precision)
        case "openvino":
            from engine.compute.runtimes.openvino import OpenvinoSession

            return OpenvinoSession(path, inputs, threads, precision)
        case _:
            assert_never(runtime)


def float_operators(runtime: Runtime, path: Path, *, batch: int, shape: Shape) -> dict[str, int]:
    """How many operators of each type `runtime` computes in float, after its own optimization of an INT8 file."""
    match runtime:
        case "onnxruntime":
            from engine.compute.onnx import float_operators as operators

            return operators.float_operators(path)
        case "openvino":
            from engine.compute.runtimes import openvino

            return openvino.float_operators(path, (batch, *shape))
        case "torch" | "torch-compile":
            raise Unavailable(runtimes.no_int8(runtime))
        case _:
            assert_never(runtime)
