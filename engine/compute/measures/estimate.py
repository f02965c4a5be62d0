"""About how large a network's packed file would be, from counts and entropies: microseconds where packing takes
seconds."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.compute.layers.grids import Grid
from engine.compute.numerics.aligned import to_array

FEW_VALUES = 4096
"""Distinct values up to which the packed format gives a tensor a codebook."""
SAMPLED = 1 << 16
"""Elements by which it is seen whether values are few."""
TABLE = 64
"""Bytes of a Huffman table, about."""
GRID = 40.0
"""Bytes of a grid in the packed file's header, about."""
ENTRY, FRAME = 6, 60
"""Bytes of a tensor in the packed file's header, about, and of what stands around all of them."""
LENGTH = 8
"""Bytes of a safetensors file before its header; the header fills multiples of them."""
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


@dataclass(frozen=True)
class Stored:
    """A tensor as a packed file would hold it: `bits` for each of its non-zeros, and `beside` bytes of tables."""

    elements: int
    nonzero: int
    bits: float
    beside: float = 0.0

    def bytes(self) -> float:
        """Where its zeros are takes about their entropy, which Golomb-Rice codes come near to."""
        share = self.nonzero / max(self.elements, 1)
        places = self.elements * _entropy(np.array([share, 1 - share])) if 0 < share < 1 else 0.0
        return (self.nonzero * self.bits + places) / 8 + self.beside


def stored(tensor: Tensor, grid: Grid | None = None) -> Stored:
    """How `tensor` would be held: its values in byte planes, where they are few in a codebook, or as codes of its
    `grid`."""
    as_floats = _as_values(tensor)
    codes = None if grid is None else grid.codes(tensor.detach().cpu())
    if grid is None or codes is None:
        return as_floats
    of_codes = _as_values(codes)
    beside = of_codes.beside + _as_values(grid.steps).bytes() + GRID
    as_codes = Stored(of_codes.elements, of_codes.nonzero, max(of_codes.bits, 1.0), beside)
    return min(as_floats, as_codes, key=Stored.bytes)


def _as_values(tensor: Tensor) -> Stored:
    """In byte planes or a codebook."""
    values = tensor.detach().cpu().contiguous().flatten()
    kept = values[values != 0]
    if not len(kept):
        return Stored(values.numel(), 0, 0.0)
    width = kept.element_size()
    raw = to_array(kept.view(torch.uint8)).reshape(-1, width)
    planes = sum(_plane(raw[:, byte]) for byte in range(width))
    bits, beside = planes, 0.0
    words = raw.view(f"u{width}") if width <= LENGTH else raw[:0]
    sample = words[:: max(len(kept) // SAMPLED, 1)]
    if len(np.unique(sample)) <= min(FEW_VALUES, len(sample) // 4):
        each = np.unique(words, return_counts=True)[1]
        if len(each) <= FEW_VALUES:
            coded, table = _entropy(each / len(kept)), float(len(each) * width)
            if coded * len(kept) / 8 + table < planes * len(kept) / 8:
                bits, beside = coded, table
    return Stored(values.numel(), len(kept), bits, beside)


def packed_bytes(parts: Iterable[Stored]) -> int:
    """Bytes of all of them in one file."""
    return round(sum(part.bytes() + ENTRY for part in parts)) + FRAME


def plain_bytes(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> int:
    """Bytes of a safetensors file with tensors of these types and shapes."""
    sizes = {name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in tensors.items()}
    order = sorted(tensors, key=lambda name: (-tensors[name][0].itemsize, name))
    header, offset = {}, 0
    for name in order:
        dtype, shape = tensors[name]
        header[name] = {
            "dtype": NAMES.get(dtype, "U8"),
            "shape": list(shape),
            "data_offsets": [offset, offset + sizes[name]],
        }
        offset += sizes[name]
    text = len(json.dumps(header, separators=(",", ":")))
    return LENGTH + -(-text // LENGTH) * LENGTH + offset


def _plane(values: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> float:
    """Bits of one byte of a value: Huffman coded, where that and its table are less than the bytes."""
    counts = np.bincount(values, minlength=256)
    return min(_entropy(counts / len(values)) + 8 * TABLE / len(values), 8.0)


def _entropy(shares: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    """Bits of one of several things that come in these shares.

    >>> _entropy(np.array([0.5, 0.25, 0.25]))
    1.5
    """
    present = shares[shares > 0]
    return float(-(present * np.log2(present)).sum())
