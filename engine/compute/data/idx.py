"""The IDX format of MNIST: a magic number, big-endian sizes, then the values."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from torch import Tensor

from engine.compute.numerics.aligned import from_array
from engine.errors import SecateurError

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""The third byte of the magic number: the type of the values."""


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file, plain or `.gz`; uint8 and int64 are the types it comes in.

    Raises SecateurError naming the file when it is damaged or not in this format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        values = _parse(content)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SecateurError(
            f"{path} can't be read",
            f"{type(error).__name__}: {error}",
            "Delete it and fetch the data set anew.",
        ) from error
    return from_array(values if values.dtype == np.uint8 else values.astype(np.int64))


def _parse(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES:
        raise ValueError("not an IDX file")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = [int(size) for size in np.frombuffer(content[4:start], ">u4")]
    dtype = np.dtype(DTYPES[content[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(shape) != dimensions or len(content) != expected:
        raise ValueError(f"{len(content)} bytes, {expected} expected: it was cut short or damaged")
    return np.frombuffer(bytearray(content), dtype, offset=start).reshape(shape)
