"""Reads a packed file of secateur: a network's tensors, bit for bit. Needs nothing but NumPy.

    from unpack import unpack

    tensors = unpack(Path("model.packed").read_bytes())
    dtype, array = tensors["conv1.weight"]

Layout, little endian::

    magic (8) · version (2) · header length (4) · header · streams of each tensor, in order · SHA-256 (32)

The header is deflated JSON, an item for each tensor: the fields of an entry (`Entry`; the last may be missing), or, for
a tensor on a uniform grid, its form and the entries of its codes, steps and points below zero (`_on_grid`). The streams
of an entry are, in this order:

1. *Where its elements are*: nothing if all are stored (dense); else the gaps between the stored ones, the others being
   zero in all bits. A gap is Golomb-Rice coded, ``gap >> rice`` in unary and the `rice` low bits in a second stream,
   or a byte, after an ESCAPE for every 255 that it is longer, Huffman coded.
2. *What they are*: the first bytes of all elements, their second bytes, …; each plane Huffman coded if it is shorter
   than it has elements. A float32 tensor of two planes holds numbers of float16, to be widened (version 2).
3. With a codebook, the planes are those of its entries, each of `width` elements, and an index for each entry used
   follows, in `bits` bits or Huffman coded. The codebook is the whole tensor's, or there is one for each of its rows.

Huffman codes are those of raw deflate (RFC 1951). Bits are taken from the highest of a byte to the lowest.
"""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAGIC = b"SECATEUR"
VERSION = 2
READ = (1, 2)
"""Versions of files that can be read: one of version 1 has no float32 tensor of two planes."""
PREFIX = struct.Struct("<8sHI")
DIGEST = hashlib.sha256().digest_size
HEADER_LIMIT = 1 << 30
DENSE = -1
"""In place of the Rice parameter: every element is stored."""
RUNS = -2
"""In place of the Rice parameter: gaps are Huffman coded bytes."""
ESCAPE = 255
"""A byte of a coded gap: it is so much longer, and goes on."""
BLOCK = 1 << 22
"""Indices that are unpacked at once, a multiple of 8: what bounds the memory for it."""

_OWN = ("float16", "float32", "float64", "complex64", "complex128", "bool")
_INTEGERS = tuple(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u"))
_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
DTYPES: dict[str, Any] = {
    **{name: np.dtype(name).newbyteorder("<") for name in (*_OWN, *_INTEGERS)},
    **{name: np.dtype("u1") for name in (*_FLOAT8, "float4_e2m1fn_x2")},
    "bfloat16": np.dtype("<u2"),
    "complex32": np.dtype("<u4"),
}
"""torch's types of elements that a file can hold, and the array's: unsigned integers with the same bits where NumPy has
no such type."""
SINGLE, HALF = DTYPES["float32"], DTYPES["float16"]


@dataclass(frozen=True)
class Entry:
    """How one tensor is stored.

    `rice` is the Rice parameter, DENSE or RUNS; `count` the number of stored elements; `unary` the bytes of the
    unary stream, or of the Huffman coded gaps, which are `runs` bytes before; `planes` the bytes of each byte
    plane, coded if fewer than there are elements.

    With a codebook (`width` above 0), `tables` has the entries of each of its tables, `width` the elements of an entry,
    and the planes are those of the tables' elements; `indices` are the bytes of the indices, bit-packed in `bits`, or
    Huffman coded if that is 0.
    """

    name: str
    dtype: str
    shape: list[int]
    rice: int
    count: int
    unary: int
    planes: list[int]
    runs: int = 0
    width: int = 0
    tables: Sequence[int] = ()
    indices: int = 0
    bits: int = 0


def unpack(data: bytes) -> dict[str, tuple[str, Array]]:
    """For each tensor of a packed file, by its name, torch's name of its type, and an array of that type (see DTYPES).

    Raises ValueError when `data` is no such file, is of another version, or was changed or cut off.
    """
    if len(data) < PREFIX.size + DIGEST or data[: len(MAGIC)] != MAGIC:
        raise ValueError("not a packed file: it does not start as one")
    _, version, length = PREFIX.unpack_from(data)
    if version not in READ:
        raise ValueError(
            f"the packed file is of version {version}; this reads versions {READ[0]} to {READ[-1]}"
        )
    body = memoryview(data)[:-DIGEST]
    if hashlib.sha256(body).digest() != data[-DIGEST:]:
        raise ValueError("the packed file is damaged: its checksum is wrong, so it was changed or cut off")
    start = PREFIX.size + length
    try:
        header = zlib.decompressobj().decompress(body[PREFIX.size : start], HEADER_LIMIT)
        streams = _Streams(body[start:])
        tensors = dict(_tensor(item, streams) for item in json.loads(header))
        streams.finish()
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        raise ValueError(
            f"the packed file is damaged: its contents contradict each other ({error})"
        ) from error
    return tensors


class _Streams:
    """Takes one stream after the other off the payload."""

    def __init__(self, payload: memoryview) -> None:
        self._rest = payload

    def take(self, size: int) -> Array:
        """The next `size` bytes."""
        if not 0 <= size <= len(self._rest):
            raise ValueError("a stream is longer than the file")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return np.frombuffer(taken, np.uint8)

    def finish(self) -> None:
        if len(self._rest):
            raise ValueError("bytes are left over")


def _tensor(item: Any, streams: _Streams) -> tuple[str, tuple[str, Array]]:
    """One item of the header: its name, type and array."""
    if isinstance(item, dict):
        codes, steps, low = (Entry(*row) for row in item["parts"])
        arrays = [_array(entry, streams) for entry in (codes, steps, low)]
        return codes.name, (steps.dtype, _on_grid(item["form"]["bits"], item["form"]["group"], *arrays))
    entry = Entry(*item)
    return entry.name, (entry.dtype, _array(entry, streams))


def _on_grid(bits: int, group: int | None, codes: Array, steps: Array, low: Array) -> Array:
    """The weights whose `codes` count steps from zero, modulo ``2 ** bits``; `low` of the codes lie below zero.

    Each row is cut in groups of `group` weights (None: one group), and `steps` and `low` have one value for each.
    """
    rows, row = codes.shape[0], math.prod(codes.shape[1:])
    width = min(group or row, row) or 1

    def spread(each: Array) -> Array:
        """The value of its group for every weight; a row's last group may have fewer than the others."""
        wide = np.repeat(each.reshape(rows, -(-row // width)), width, axis=1)
        return wide[:, :row].reshape(codes.shape)

    below = spread(low).astype(np.int16)
    signed = (codes + below) % 2**bits - below
    on_grid: Array = signed.astype(steps.dtype) * spread(steps)
    return on_grid


def _array(entry: Entry, streams: _Streams) -> Array:
    """The tensor of one entry, whose streams are the next."""
    dtype, length = DTYPES[entry.dtype], math.prod(entry.shape)
    widened = dtype
    if len(entry.planes) == HALF.itemsize and dtype == SINGLE:
        dtype = HALF
    if len(entry.planes) != dtype.itemsize:
        raise ValueError(f"{entry.dtype} of {len(entry.planes)} bytes")
    unary, low = streams.take(entry.unary), streams.take((max(entry.rice, 0) * entry.count + 7) // 8)
    positions = _positions(entry, unary, low)
    if positions is not None and len(positions) and positions[-1] >= length:
        raise ValueError(f"{entry.name} has a value outside its shape")
    plain = sum(entry.tables) * entry.width if entry.width else entry.count
    # (elements, bytes of an element)
    elements = np.empty((plain, dtype.itemsize), np.uint8)
    for i, size in enumerate(entry.planes):
        plane = streams.take(size)
        elements[:, i] = _exactly(_unhuffman(plane, plain) if size < plain else plane, plain)
    if entry.width:
        elements = _from_tables(entry, elements, streams.take(entry.indices), positions, length)
    if positions is not None:
        values, elements = elements, np.zeros((length, dtype.itemsize), np.uint8)
        elements[positions] = values
    array: Array = _exactly(elements, length).reshape(-1).view(dtype).astype(widened, copy=False)
    return array.reshape(entry.shape)


def _positions(entry: Entry, unary: Array, low: Array) -> Array | None:
    """Positions of the stored elements in the flattened tensor, ascending; None: all."""
    if entry.rice == DENSE:
        return None
    if entry.rice == RUNS:
        coded = _exactly(_unhuffman(unary, entry.runs), entry.runs)
        ends = np.flatnonzero(coded != ESCAPE)
        after = np.cumsum(np.where(coded == ESCAPE, np.int64(ESCAPE), coded.astype(np.int64) + 1))
        if len(ends) and ends[-1] != len(coded) - 1:
            raise ValueError("the last gap does not end")
        return _exactly(after[ends] - 1, entry.count)
    if not 0 <= entry.rice < 63:
        raise ValueError(f"Rice parameter {entry.rice}")
    # Each gap in unary is that many zeros and a one.
    ends = _exactly(np.flatnonzero(np.unpackbits(unary)), entry.count)
    gaps = (np.diff(ends, prepend=-1) - 1) << entry.rice
    bits = np.unpackbits(low, count=entry.count * entry.rice)
    for bit in range(entry.rice):
        gaps += bits[bit :: entry.rice].astype(np.int64) << bit
    positions: Array = np.cumsum(gaps + 1) - 1
    return positions


def _from_tables(entry: Entry, tables: Array, stream: Array, positions: Array | None, length: int) -> Array:
    """The stored elements (count, bytes), looked up in their tables (elements of all entries, bytes)."""
    if entry.width < 1 or entry.count % entry.width or not entry.tables or min(entry.tables) < 0:
        raise ValueError(f"{entry.name} has a codebook of {entry.tables} entries of {entry.width}")
    count, sizes = entry.count // entry.width, np.array(entry.tables)
    symbols = _unpack_bits(stream, entry.bits, count) if entry.bits else _unhuffman(stream, count)
    symbols = _exactly(symbols, count).astype(np.int64)
    if len(sizes) > 1:
        if length % len(sizes):
            raise ValueError(f"{entry.name} has {len(sizes)} codebooks for its shape {entry.shape}")
        row = (np.arange(length) if positions is None else positions) // (length // len(sizes))
        if (symbols >= sizes[row]).any():
            raise ValueError(f"{entry.name} has an index outside its codebook")
        symbols += (np.cumsum(sizes) - sizes)[row]
    size = tables.shape[1]
    return tables.reshape(-1, entry.width * size)[symbols].reshape(-1, size)


def _unhuffman(stream: Array, most: int) -> Array:
    """The bytes of a Huffman coded stream, `most` of them at most."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    return np.frombuffer(decoder.decompress(stream.data, most) if most else b"", np.uint8)


def _unpack_bits(stream: Array, bits: int, count: int) -> Array:
    """The `count` numbers of `bits` bits each, 1 … 8."""
    if not 1 <= bits <= 8 or len(stream) != (count * bits + 7) // 8:
        raise ValueError(f"{len(stream)} bytes for {count} numbers of {bits} bits")
    numbers = np.empty(count, np.uint8)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        single = np.unpackbits(stream[start * bits // 8 :][: (size * bits + 7) // 8], count=size * bits)
        wide = np.zeros((size, 8), np.uint8)
        wide[:, 8 - bits :] = single.reshape(size, bits)
        numbers[start : start + size] = np.packbits(wide, axis=1)[:, 0]
    return numbers


def _exactly(array: Array, count: int) -> Array:
    if len(array) != count:
        raise ValueError(f"{len(array)} elements in the place of {count}")
    return array
