"""Sparse-packed: a file of tensors whose size falls with their number of non-zeros, and loads back bit-equal.

Layout, little endian::

    magic (8) · version (2) · header length (4) · header · streams of each tensor, in order · SHA-256 (32)

The header is deflated JSON: for each tensor its name, dtype, shape and how it is stored. A *zero* is an
element whose bits are all zero, so that -0.0 and every NaN come back as they were. A tensor is stored
dense (all elements) or sparse (the gaps between non-zeros, and the non-zeros), whichever is smaller.

Gaps are Golomb-Rice coded (Golomb, 1966; Rice & Plaunt, 1971): ``gap >> k`` in unary and the ``k`` low
bits as they are. Unary and remainders are two streams, so that numpy codes and decodes them without a loop.
With ``k = 0`` the unary stream *is* the bitmap of non-zeros. Elements are split in byte planes, and each is
Huffman coded (deflate without matches) where that is smaller: of trained fp32 weights the byte of sign and
exponent shrinks to about 0.4, the mantissa's bytes not at all; together about 15 % fewer bytes.
"""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.errors import SecateurError

MAGIC = b"SECATEUR"
VERSION = 1
DENSE = -1
"""In place of the Rice parameter: every element is stored."""
_PREFIX = struct.Struct("<8sHI")
_DIGEST = hashlib.sha256().digest_size
_HEADER_LIMIT = 1 << 30
_NEARLY_DENSE = 0.75
"""Density above which a dense tensor may win, so that both ways are tried."""

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Entry:
    """How one tensor is stored.

    `rice` is the Rice parameter, or DENSE; `count` the number of stored elements; `unary` the bytes of
    the unary stream; `planes` the bytes of each byte plane, coded if fewer than `count`.
    """

    name: str
    dtype: str
    shape: list[int]
    rice: int
    count: int
    unary: int
    planes: list[int]

    @property
    def remainders(self) -> int:
        return (max(self.rice, 0) * self.count + 7) // 8


def dump(tensors: dict[str, Tensor]) -> bytes:
    """`tensors` as the bytes of a sparse-packed file; equal tensors give equal bytes.

    Any dense dtype, any shape, also empty and 0-d; each tensor is stored for itself, also where
    two share memory. Raises SecateurError for tensors without plain data (sparse, quantized, meta).
    """
    entries, streams = [], []
    for name, tensor in tensors.items():
        entry, parts = _pack(name, tensor)
        entries.append(list(vars(entry).values()))
        streams += parts
    header = zlib.compress(json.dumps(entries, separators=(",", ":")).encode(), 9)
    body = b"".join([_PREFIX.pack(MAGIC, VERSION, len(header)), header, *streams])
    return body + hashlib.sha256(body).digest()


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors of a sparse-packed file, on the CPU, bit-equal to those given to `dump`.

    Raises SecateurError when `data` is not such a file, is of a newer version, or was changed or cut off.
    """
    body = _verified(data)
    _, _, length = _PREFIX.unpack_from(body)
    try:
        entries = _entries(bytes(body[_PREFIX.size : _PREFIX.size + length]))
        streams = _Streams(body[_PREFIX.size + length :])
        tensors = {entry.name: _unpack(entry, streams) for entry in entries}
        streams.finish()
    except (ValueError, TypeError, OverflowError, MemoryError, zlib.error) as error:
        raise _damaged(f"Its contents contradict each other: {error}.") from error
    return tensors


def _pack(name: str, tensor: Tensor) -> tuple[_Entry, list[bytes]]:
    elements = _elements(name, tensor)
    kept = np.flatnonzero(elements.any(axis=1) if elements.shape[1] > 1 else elements)
    ways = []
    if len(kept) < len(elements):
        ways.append(_sparse(kept, elements[kept]))
    if len(kept) >= _NEARLY_DENSE * len(elements):
        ways.append((DENSE, len(elements), [b"", b""], _planes(elements)))
    rice, count, gaps, planes = min(ways, key=lambda way: sum(map(len, way[2] + way[3])))
    dtype = str(tensor.dtype).removeprefix("torch.")
    sizes = [len(plane) for plane in planes]
    return _Entry(name, dtype, list(tensor.shape), rice, count, len(gaps[0]), sizes), gaps + planes


def _elements(name: str, tensor: Tensor) -> Bytes:
    """The bytes of each element: (elements, bytes of an element)."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise SecateurError(
            "A tensor cannot be packed", f"{name} is not a plain dense tensor with data ({tensor.layout})."
        )
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    raw: Bytes = flat.view(torch.uint8).numpy() if flat.numel() else np.empty(0, np.uint8)
    return raw.reshape(-1, tensor.element_size())


def _sparse(kept: Integers, values: Bytes) -> tuple[int, int, list[bytes], list[bytes]]:
    gaps = np.diff(kept, prepend=-1) - 1
    rice = _rice_parameter(gaps)
    ends = np.cumsum((gaps >> rice) + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1 if len(ends) else 0, np.uint8)
    unary[ends] = 1
    low = np.empty((len(gaps), rice), np.uint8)
    for bit in range(rice):
        low[:, bit] = (gaps >> bit) & 1
    coded = [np.packbits(unary).tobytes(), np.packbits(low).tobytes()]
    return rice, len(values), coded, _planes(values)


def _rice_parameter(gaps: Integers) -> int:
    """The `k` with the fewest bits, near log2(mean gap · ln 2) for random positions."""
    if not len(gaps):
        return 0
    guess = int(math.log2(max(float(gaps.mean()) * math.log(2), 1.0)))
    return min(range(max(guess - 1, 0), guess + 3), key=lambda k: int((gaps >> k).sum()) + len(gaps) * k)


def _planes(elements: Bytes) -> list[bytes]:
    """The first bytes of all elements, the second bytes, …: each Huffman coded if that is smaller."""
    planes = [np.ascontiguousarray(elements[:, i]).tobytes() for i in range(elements.shape[1])]
    return [min(plane, _huffman(plane), key=len) for plane in planes]


def _huffman(plane: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(plane) + coder.flush()


def _verified(data: bytes) -> memoryview:
    """`data` without its digest, once the digest has been found right."""
    if len(data) < _PREFIX.size + _DIGEST or data[: len(MAGIC)] != MAGIC:
        raise SecateurError("Not a sparse-packed file", "It does not start as one.")
    _, version, _ = _PREFIX.unpack_from(data)
    body = memoryview(data)[:-_DIGEST]
    if version > VERSION:
        raise SecateurError(
            "The sparse-packed file is of a newer version",
            f"It is version {version}; this secateur reads up to {VERSION}.",
            "Update secateur.",
        )
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise _damaged("Its checksum is wrong: it was changed or cut off.")
    return body


def _damaged(detail: str) -> SecateurError:
    return SecateurError("The sparse-packed file is damaged", detail, "Write or copy it again.")


def _entries(header: bytes) -> Iterator[_Entry]:
    decoder = zlib.decompressobj()
    text = decoder.decompress(header, _HEADER_LIMIT)
    return (_Entry(*row) for row in json.loads(text))


class _Streams:
    """Takes one stream after the other off the payload."""

    def __init__(self, payload: memoryview) -> None:
        self._payload = payload
        self._at = 0

    def take(self, size: int) -> memoryview:
        if size < 0 or self._at + size > len(self._payload):
            raise ValueError("a stream is longer than the file")
        self._at += size
        return self._payload[self._at - size : self._at]

    def finish(self) -> None:
        if self._at != len(self._payload):
            raise ValueError("bytes are left over")


def _unpack(entry: _Entry, streams: _Streams) -> Tensor:
    dtype = getattr(torch, entry.dtype, None)
    if not isinstance(dtype, torch.dtype) or len(entry.planes) != dtype.itemsize:
        raise ValueError(f"dtype {entry.dtype} of {len(entry.planes)} bytes")
    length = math.prod(entry.shape)
    unary, low = streams.take(entry.unary), streams.take(entry.remainders)
    values = np.empty((entry.count, dtype.itemsize), np.uint8)
    for i, size in enumerate(entry.planes):
        values[:, i] = _plane(streams.take(size), entry.count)
    if entry.rice == DENSE:
        elements = values
    else:
        elements = np.zeros((length, dtype.itemsize), np.uint8)
        elements[_positions(entry, unary, low, length)] = values
    if len(elements) != length:
        raise ValueError(f"{entry.name} has {len(elements)} elements, its shape {length}")
    if not length:
        return torch.empty(entry.shape, dtype=dtype)
    return torch.from_numpy(elements.reshape(-1)).view(dtype).reshape(entry.shape)


def _plane(stream: memoryview, count: int) -> Bytes:
    if len(stream) < count:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        plane = np.frombuffer(decoder.decompress(stream, count), np.uint8)
    else:
        plane = np.frombuffer(stream, np.uint8)
    if len(plane) != count:
        raise ValueError(f"a plane has {len(plane)} bytes instead of {count}")
    return plane


def _positions(entry: _Entry, unary: memoryview, low: memoryview, length: int) -> Integers:
    """Positions of the non-zeros in the flattened tensor, ascending."""
    if not 0 <= entry.rice < 63:
        raise ValueError(f"Rice parameter {entry.rice}")
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(unary, np.uint8)))
    if len(ends) != entry.count:
        raise ValueError(f"{len(ends)} positions for {entry.count} values")
    positions = ends
    if entry.rice:
        gaps = (np.diff(ends, prepend=-1) - 1) << entry.rice
        bits = np.unpackbits(np.frombuffer(low, np.uint8), count=entry.count * entry.rice)
        for bit in range(entry.rice):
            gaps += bits[bit :: entry.rice].astype(np.int64) << bit
        positions = np.cumsum(gaps + 1) - 1
    if len(positions) and positions[-1] >= length:
        raise ValueError(f"{entry.name} has a value outside its shape")
    return positions
