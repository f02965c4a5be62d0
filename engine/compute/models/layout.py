"""The memory layout that a network computes in: channels last, which is faster, or contiguous if its code needs it."""

import torch
from torch import Tensor, nn

from engine.compute.layers.copies import copied
from engine.compute.models import edits

NOTE = "layout"
CONTIGUOUS = "contiguous"
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    SystemExit,
    TypeError,
    ValueError,
)
"""What a network's code raises for images that it can't take, or by a mistake in it; not what the system does."""


def layout_of(model: nn.Module) -> torch.memory_format:
    """The layout for the network's weights and images."""
    # Tensors of five dimensions, as masks of shifted windows, have no layout of images, which torch would put them in.
    plain = _is_contiguous(model) or any(t.dim() == 5 for t in (*model.parameters(), *model.buffers()))
    return torch.contiguous_format if plain else torch.channels_last


def settle_(model: nn.Module, images: Tensor) -> None:
    """Note on `model` that it computes contiguously, if it takes `images` (N, C, H, W) in that layout alone.

    Such is code that asks for one view over channels and pixels, as `x.view(len(x), -1)` does. The note goes into
    the model's checkpoints. A network that takes the images in neither layout stays as it is: what is wrong with it
    shows when it is used.
    """
    if _takes(model, images, torch.channels_last) or not _takes(model, images, torch.contiguous_format):
        return
    edits.notes(model)[NOTE] = CONTIGUOUS
    restore_(model)


def restore_(model: nn.Module) -> None:
    """Let `model` take images of any layout and see them in its own, if its notes say that it computes contiguously."""
    if _is_contiguous(model) and _as_contiguous not in model._forward_pre_hooks.values():
        model.register_forward_pre_hook(_as_contiguous)


def _is_contiguous(model: nn.Module) -> bool:
    """Whether it, or the network that it holds beside an INT8 file, computes contiguously."""
    return any(edits.noted(module, NOTE) == CONTIGUOUS for module in model.modules())


def _as_contiguous(_model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Images of one channel are contiguous in both layouts, and what convolutions then give is told by their strides:
    # a clone has those of the layout that it is asked for.
    return tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in inputs)


def _takes(model: nn.Module, images: Tensor, layout: torch.memory_format) -> bool:
    """Whether a copy of the network takes `images` so, both as it is used and as it is trained."""
    try:
        tried = copied(model).to(memory_format=layout)
        with torch.no_grad():
            for training in (False, True):
                tried.train(training)(images.to(memory_format=layout))
    except FAILURES:
        return False
    return True
