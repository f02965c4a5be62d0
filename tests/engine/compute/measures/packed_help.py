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


def entropy(symbols: Tensor) -> float:
    """Bytes that any code of single symbols needs at least (Shannon, 1948)."""
    counts = symbols.unique(return_counts=True)[1].double()
    return float(-(counts * (counts / counts.sum()).log2()).sum()) / 8
