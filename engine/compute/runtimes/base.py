"""What every inference runtime offers, and how one is chosen by name.

A runtime turns a model into an *artefact* (what it needs on disk), and opens a *session* of an artefact in a
process of its own: two sessions awake in one process disturb each other (see DESIGN, latency).
"""

from pathlib import Path
from typing import Literal, Protocol, assert_never, get_args

import torch
from torch import Tensor, nn

from engine.compute.quantization.network import QuantizedNetwork
from engine.errors import SecateurError

Runtime = Literal["torch", "onnxruntime"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

Shape = tuple[int, int, int]
"""Channels, height, width of one image."""

INPUT_SEED = 0


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
    without it every export starts afresh. Raises SecateurError when the model cannot be exported, or when the
    artefact computes something else than the model.
    """
    if isinstance(model, QuantizedNetwork):
        return _own_file(runtime, model, folder)
    match runtime:
        case "torch":
            return folder
        case "onnxruntime":
            from engine.compute.runtimes.export import export

            return export(model, shape, folder / "model.onnx", templates=templates)
        case _:
            assert_never(runtime)


def _own_file(runtime: Runtime, model: QuantizedNetwork, folder: Path) -> Path:
    """The INT8 file as it is: the runtimes that read ONNX open it."""
    if runtime == "torch":
        raise SecateurError(
            "An INT8 file does not run in torch",
            "It is an ONNX file of integer operators.",
            "Leave torch out of measure.latency.runtimes for trials that quantize.",
        )
    path = folder / "model.onnx"
    path.write_bytes(model.file)
    return path


def session(
    runtime: Runtime, path: Path, *, batch: int, shape: Shape, threads: int, device: str = "cpu"
) -> Session:
    """Open the artefact at `path` for inference; the fixed input is (`batch`, C, H, W).

    Meant to be the only session of its process: it sets the process's number of threads. Raises SecateurError
    when the runtime does not take the artefact.
    """
    match runtime:
        case "torch":
            from engine.compute.runtimes.torch import TorchSession

            return TorchSession(path, example(batch, shape), threads, device)
        case "onnxruntime":
            from engine.compute.runtimes.onnxruntime import OnnxSession

            return OnnxSession(path, example(batch, shape), threads, device)
        case _:
            assert_never(runtime)


def example(batch: int, shape: Shape) -> Tensor:
    """The same images every time: (batch, C, H, W), uniform in [0, 1)."""
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(INPUT_SEED))
