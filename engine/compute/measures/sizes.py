"""Size on disk: plain, compressed by a general program, and packed."""

import gzip
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

from engine.compute.layers.grids import Grid
from engine.compute.measures import packed

GZIP_LEVEL = 6
"""The gzip program's own default."""


def sizes(
    tensors: dict[str, Tensor], file: bytes | None = None, *, grids: Mapping[str, Grid] | None = None
) -> dict[str, int]:
    """Bytes of `tensors` (a folded state_dict, or the parts of an INT8 file) as a file, in three formats.

    `plain`: a safetensors file of them, or `file` where that is another one (INT8); `gzip`: that file after ``gzip -6``
    (no name, no time); `packed`: our own file, which stores zeros, shared values and values on one of `grids` in few
    bits (`packed`). Weights that several names share are counted once.
    """
    own, _ = once(tensors)
    plain = save(own) if file is None else file
    return {
        "plain": len(plain),
        "gzip": len(gzip.compress(plain, GZIP_LEVEL, mtime=0)),
        "packed": len(packed.dump(own, grids)),
    }


def once(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`tensors` with each memory once, dense and contiguous; and for each name left out the one that has its values."""
    own, shared = distinct(tensors)
    # Clones, because safetensors refuses tensors that overlap in memory.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in own.items()}, shared


def distinct(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`tensors` with each memory under its first name alone; and for each name left out the one that has its values."""
    first: dict[tuple[object, ...], str] = {}
    own, shared = {}, {}
    for name, tensor in tensors.items():
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            shared[name] = first[place]
            continue
        first[place] = name
        own[name] = tensor
    return own, shared


def dense(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors`, contiguous; those that share their memory still do, where each by itself would become a copy."""
    own, shared = distinct(tensors)
    held = {name: tensor.detach().contiguous() for name, tensor in own.items()}
    return {name: held[shared.get(name, name)] for name in tensors}
