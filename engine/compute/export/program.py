"""A network as torch.export writes it down: its operators, for any number of images."""

from io import BytesIO
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from engine.compute.export.lengths import lengths_followed
from engine.compute.export.source import Shape
from engine.compute.models.layout import FAILURES
from engine.errors import SecateurError, said_by

EXAMPLES = 3
"""Images that the export is made with: from one, torch.export would conclude that there is always one."""


def write(model: nn.Module, shape: Shape, file: Path) -> None:
    """Write `model`, which is in eval mode, on the CPU and without masks, as the `.pt2` file `file`.

    Raises SecateurError for a network that torch.export can't follow, or only for a fixed number of images.
    """
    images = torch.rand(EXAMPLES, *shape, generator=torch.Generator().manual_seed(EXAMPLES))
    try:
        with lengths_followed(model):
            program = torch.export.export(model, (images,), dynamic_shapes=({0: Dim.DYNAMIC},))
    except FAILURES as error:
        raise SecateurError(
            "torch.export can't write the network down",
            f"{type(error).__name__}: {said_by(error)[0]}",
            "Export it as safetensors or onnx.",
        ) from error
    _forget_traces(program)
    content = BytesIO()  # torch ends the process where a disk is full
    torch.export.save(program, content)
    file.write_bytes(content.getbuffer())


def _forget_traces(program: ExportedProgram) -> None:
    """Drop where in which file each operator was called: long, and full of this machine's paths."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
