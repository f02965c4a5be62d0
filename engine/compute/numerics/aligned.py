"""The one way in for tensors from outside: what is computed with begins where torch's own memory would.

Libraries choose instructions by the address of what they read (MKL's matrix-vector product on AMD gives other bits
at 12 of 16 four-byte offsets), and then a result depends on where its values happen to lie: a file places its tensors
at any byte, NumPy allocates at any multiple of 16, a user's code takes views of anything. Files, arrays and networks
that others made are therefore taken in here and nowhere else, and arrays for other libraries are made here.
Integers are left where they are: their arithmetic is exact.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

ALIGNMENT = 64
"""Bytes: a cache line, the widest vector there is, and where torch's allocator begins every tensor."""

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


def aligned(tensor: Tensor) -> Tensor:
    """`tensor` if it is one of integers, on another device or at an aligned address already, else a copy."""
    exact = not (tensor.is_floating_point() or tensor.is_complex())
    if exact or tensor.device.type != "cpu" or tensor.data_ptr() % ALIGNMENT == 0:
        return tensor
    return tensor.clone()


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor's elements, uint8 (bytes,), on the CPU: NaN equals itself, -0.0 differs from 0.0."""
    dense = tensor.detach().cpu().contiguous()
    # Not flatten(), which leaves a single element the stride that it had where it was cut out of something.
    return dense.as_strided((dense.numel(),), (1,)).view(torch.uint8)


def align_(model: nn.Module) -> nn.Module:
    """Bring the model's parameters and buffers to aligned addresses, in place; they stay the same objects."""
    model._apply(lambda tensor: tensor if is_lazy(tensor) else aligned(tensor))  # type: ignore[no-untyped-call]
    return model


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, wherever it places them."""
    return {name: aligned(tensor) for name, tensor in load_file(path).items()}


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """A safetensors file for those whom the user's umask lets read it.

    safetensors' own writer shuts out all others, whatever the umask. Raises OSError, as any writing does.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        # What the system said, such as of a full disk, it tells in words only.
        if (told := re.search(r"os error ([0-9]+)", str(error))) is None:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1])), str(path)) from error
    path.chmod(mode)


def from_array(array: Any) -> Tensor:
    """A NumPy array's values; integers share its memory where that can be written to."""
    if array.dtype.kind in "fc" or not array.flags.writeable:
        return torch.tensor(array)
    return torch.from_numpy(array)


def view_of(array: Array) -> Tensor:
    """A tensor over the array's own memory, for keeping and putting back its values: not to be computed with."""
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def to_array(values: Tensor | Array) -> Array:
    """The values, on the CPU and contiguous, for NumPy and the runtimes that take its arrays."""
    tensor = values if isinstance(values, Tensor) else from_array(values)
    array: Array = aligned(tensor.detach().cpu().contiguous()).numpy()
    return array
