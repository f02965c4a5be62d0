"""The IDX format of MNIST: a magic number, big-endian sizes, then the values."""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from engine.compute.numerics.aligned import from_array
from engine.errors import SecateurError

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""The third byte of the magic number: the type of the values."""
MOST_BYTES = 2 << 30
"""Of values in a file; the largest, of EMNIST, has a quarter of that."""


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file, plain or `.gz`; uint8 and int64 are the types it comes in.

    Raises SecateurError naming the file when it is damaged or not in this format.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            values = _parse(file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SecateurError(
            f"{path} can't be read",
            f"{type(error).__name__}: {error}",
            "Delete it and fetch the data set anew.",
        ) from error
    return from_array(values if values.dtype == np.uint8 else values.astype(np.int64))


def _parse(file: gzip.GzipFile | BinaryIO) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """The array; no more is read, or unpacked, than its header says, and that is bounded."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES:
        raise ValueError("not an IDX file")
    sizes, dtype = file.read(4 * head[3]), np.dtype(DTYPES[head[2]])
    shape = [int(size) for size in np.frombuffer(sizes[: len(sizes) // 4 * 4], ">u4")]
    expected = math.prod(shape) * dtype.itemsize
    if expected > MOST_BYTES:
        raise ValueError(f"{expected} bytes of values, more than any such set has: it is damaged")
    content = file.read(expected + 1)
    if len(shape) != head[3] or len(content) != expected:
        actual = f"{len(content)} bytes of values" if len(content) <= expected else "more"
        raise ValueError(f"{actual}, {expected} expected: it was cut short or damaged")
    return np.frombuffer(bytearray(content), dtype).reshape(shape)
