"""What tests of packed files have in common."""

import torch
from torch import Tensor

from engine.compute.measures.unpack import unpack


def unpacked(data: bytes) -> dict[str, Tensor]:
    """The tensors of a packed file, by the reader that users get."""
    return {
        name: torch.from_numpy(array).view(getattr(torch, dtype))
        for name, (dtype, array) in unpack(data).items()
    }
