"""Size on disk: plain, compressed by a general program, and packed."""

import gzip

from safetensors.torch import save
from torch import Tensor

from engine.compute.measure import packed

GZIP_LEVEL = 6
"""The gzip program's own default."""


def sizes(tensors: dict[str, Tensor]) -> dict[str, int]:
    """Bytes of `tensors` (a folded state_dict) as a file, in three formats.

    `plain`: a safetensors file; `gzip`: that file after ``gzip -6`` (no name, no time); `packed`: our
    own file, which stores zeros and shared values in few bits (`packed`). Weights that several names share
    are counted once.
    """
    own = _without_shared(tensors)
    plain = save(own)
    return {
        "plain": len(plain),
        "gzip": len(gzip.compress(plain, GZIP_LEVEL, mtime=0)),
        "packed": len(packed.dump(own)),
    }


def _without_shared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with each memory once, dense and contiguous."""
    seen: set[tuple[object, ...]] = set()
    own = {}
    for name, tensor in tensors.items():
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        # A clone, because safetensors refuses tensors that overlap in memory.
        own[name] = tensor.detach().cpu().contiguous().clone()
    return own
