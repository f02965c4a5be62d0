"""What every inference runtime offers, and how one is chosen by name.

A runtime turns a model into an *artefact* (what it needs on disk), and opens a *session* of an artefact in a
process of its own: two sessions awake in one process disturb each other (see DESIGN, latency).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.shape import Shape, example
from engine.errors import Unavailable
from engine.machine import runtimes
from engine.params.runtimes import INT8_RUNTIMES, KIND, Precision, Runtime


class Session(Protocol):
    """A loaded model, ready for inference on `threads` processor threads or a GPU.

    One whose GPU tells how long it computes has `on_gpu`, a list to which each call adds nanoseconds between two of
    its events.
    """

    def __call__(self) -> None:
        """Run one forward pass on the session's own fixed input, to its end; the output stays unread."""

    def run(self, inputs: Tensor) -> Tensor:
        """The model's output, on the CPU, for `inputs` (N, C, H, W) of any N."""


@dataclass(frozen=True)
class Opened:
    """Where a runtime's session class stands, and what else belongs to it; imported when it is used.

    `session` takes an artefact's path, the fixed input, threads, device and precision. `float_operators` counts what is
    left in float of an INT8 file, given its path, the input's shape and the device. `executed` gives of each node that
    is executed its type, its name, the names of the file's nodes that it is made of where the runtime tells, and the
    median of its microseconds, given the file, the input, threads, calls that are not counted and calls that are.
    `libraries` are slow to import: a process that measurements are forked from has them already.
    """

    session: str
    libraries: tuple[str, ...]
    float_operators: str = ""
    executed: str = ""


OPENED: dict[Runtime, Opened] = {
    "torch": Opened("engine.compute.runtimes.torch:TorchSession", ()),
    "torch-compile": Opened(
        "engine.compute.runtimes.compiled:CompiledSession",
        ("torch._inductor.compile_fx", "engine.compute.runtimes.compiled"),
    ),
    "onnxruntime": Opened(
        "engine.compute.onnx.onnxruntime:OnnxSession",
        ("engine.compute.onnx.onnxruntime",),
        "engine.compute.onnx.float_operators:float_operators",
        "engine.compute.onnx.onnxruntime:executed",
    ),
    "openvino": Opened(
        "engine.compute.runtimes.openvino:OpenvinoSession",
        ("engine.compute.runtimes.openvino",),
        "engine.compute.runtimes.openvino:float_operators",
        "engine.compute.runtimes.openvino:executed",
    ),
}
"""Every runtime's row; what is known of it without torch stands in `engine.params.runtimes.KIND`."""


def artefact(
    runtime: Runtime, model: nn.Module, shape: Shape, folder: Path, *, templates: Path | None = None
) -> Path:
    """Write into `folder`, which holds the model's checkpoint, what `runtime` needs beyond it; what to open.

    `templates` is a folder where graphs of a structure are kept for the next model of the same structure, those of
    networks that are built alike apart from others; without it every export starts afresh. Raises Unavailable when the
    model cannot be exported, or when the artefact computes something else than the model.
    """
    if isinstance(model, QuantizedNetwork):
        return _own_file(runtime, model, folder)
    if KIND[runtime].reads == "folder":
        return folder
    # A process that only measures does without these.
    from engine.compute.models.alike import folder_for
    from engine.compute.onnx.export import export

    alike = None if templates is None else folder_for(templates, model)
    return export(
        model, shape, folder / "model.onnx", templates=alike or templates, any_width=alike is not None
    )


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
    named: tuple[str, ...] = (),
) -> Session:
    """Open the artefact at `path` for inference; the fixed input is (`batch`, C, H, W).

    Meant to be the only session of its process: it sets the process's number of threads. A runtime that cannot use
    `device` computes on the processor (`engine.machine.runtimes.device_of`). Raises SecateurError when the runtime does
    not take the artefact, and Unavailable when it is not here, or does not compute in `precision` here. `named` is what
    the preset calls its models, for runtimes that build one.
    """
    if why := runtimes.reason(runtime, precision, device):
        raise Unavailable(why)
    inputs, place = example(batch, shape), runtimes.device_of(runtime, device)
    opened: Callable[..., Session] = imported(OPENED[runtime].session)
    own = {"named": named} if KIND[runtime].reads == "folder" else {}
    return opened(path, inputs, threads, place, precision, **own)


def float_operators(
    runtime: Runtime, path: Path, *, batch: int, shape: Shape, device: str = "cpu"
) -> dict[str, int]:
    """How many operators of each type `runtime` computes in float, after its own optimization of an INT8 file."""
    if not OPENED[runtime].float_operators:
        raise Unavailable(runtimes.no_int8(runtime))
    counted: Callable[..., dict[str, int]] = imported(OPENED[runtime].float_operators)
    return counted(path, (batch, *shape), runtimes.device_of(runtime, device))


def imported(place: str) -> Any:
    """What `module:name` names; imported here, because a measuring process imports its own runtime alone."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
