"""Packed: a file of tensors whose size falls with zeros and with shared values, and loads back bit-equal.

Layout, little endian::

    magic (8) · version (2) · header length (4) · header · streams of each tensor, in order · SHA-256 (32)

The header is deflated JSON: for each tensor its name, dtype, shape and how it is stored. A *zero* is an element
whose bits are all zero, so that -0.0 and every NaN come back as they were. Each tensor is stored in the smallest
of these ways.

*Where elements are*: dense (all are stored), or sparse: the gaps between non-zeros, and the non-zeros. Gaps are
Golomb-Rice coded (Golomb, 1966; Rice & Plaunt, 1971), ``gap >> k`` in unary and the ``k`` low bits as they are in
two streams (with ``k = 0`` the unary stream *is* the bitmap of non-zeros), or Huffman coded as bytes with an
escape (Deep Compression, Han et al. 2016).

*What they are*: byte planes, each Huffman coded where that is smaller (of trained fp32 weights the byte of sign
and exponent shrinks to about 0.4, the mantissa's bytes not at all; together about 15 % fewer bytes), or a
codebook of the distinct values and the index of each element, bit-packed or Huffman coded. A codebook belongs to
the tensor or to each of its rows, its entries are values or vectors of neighbouring ones. It is found by counting,
so it is found in any tensor, whatever made its values few.

A tensor whose grid is given (`quantize.weights`) is stored as its codes, its steps and how many points lie below
zero, a tensor each, where that is smaller: then a step is stored for each row or group and no value twice.

Version 1 had no escapes and no codebooks, version 2 no grids; their files are read as before, and what has no grid is
written as version 2.
"""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.compute.layers.grids import Grid, GridForm
from engine.compute.measures import coding
from engine.compute.measures.coding import Bytes, Integers
from engine.compute.measures.palettes import Palette, Words, palettes
from engine.compute.numerics.aligned import aligned, from_array, to_array
from engine.errors import SecateurError

MAGIC = b"SECATEUR"
VERSION = 3
WITHOUT_GRIDS = 2
"""The version of a file in which no tensor is stored by its grid."""
DENSE = -1
"""In place of the Rice parameter: every element is stored."""
RUNS = -2
"""In place of the Rice parameter: gaps are Huffman coded bytes."""
_PREFIX = struct.Struct("<8sHI")
_DIGEST = hashlib.sha256().digest_size
_HEADER_LIMIT = 1 << 30
_NEARLY_DENSE = 0.75
"""Density above which a tensor without a codebook may be smaller dense, so that both ways are tried."""
_HALF_DENSE = 0.3
"""The same with a codebook, in which zero can be an entry: below this, a bit for each zero is more than its gap."""
_HEADER_COST = 8
"""Bytes that a codebook costs in the header, about, beside one for each table."""
_GRID_COST = 40
"""Bytes that a grid and its two more tensors cost in the header, about."""


@dataclass(frozen=True)
class _Entry:
    """How one tensor is stored.

    `rice` is the Rice parameter, DENSE or RUNS; `count` the number of stored elements; `unary` the bytes of the
    unary stream, or of the Huffman coded gaps, which are `runs` bytes before; `planes` the bytes of each byte
    plane, coded if fewer than there are elements.

    With a codebook, `tables` has the entries of each of its tables, `width` the elements of an entry, and the
    planes are those of the tables' elements; `indices` are the bytes of the indices, bit-packed in `bits`, or
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
    tables: list[int] = field(default_factory=list)
    indices: int = 0
    bits: int = 0

    @property
    def remainders(self) -> int:
        return (max(self.rice, 0) * self.count + 7) // 8

    @property
    def plain(self) -> int:
        """Elements that the planes hold."""
        return sum(self.tables) * self.width if self.width else self.count

    def row(self) -> list[object]:
        """As it stands in the header: what is as in version 1 is left out."""
        short = 7 if self.width == 0 and self.runs == 0 else 8 if self.width == 0 else None
        return list(vars(self).values())[:short]


@dataclass(frozen=True)
class _Places:
    """Where the stored elements are: header fields, and streams."""

    fields: dict[str, int]
    streams: list[bytes]


@dataclass(frozen=True)
class _Values:
    """What the stored elements are: header fields, and streams."""

    fields: dict[str, object]
    streams: list[bytes]

    @property
    def size(self) -> int:
        tables = self.fields.get("tables", [])
        extra = _HEADER_COST + len(tables) if isinstance(tables, list) and tables else 0
        return sum(map(len, self.streams)) + extra


def dump(tensors: dict[str, Tensor], grids: Mapping[str, Grid] | None = None) -> bytes:
    """`tensors` as the bytes of a packed file; equal tensors give equal bytes.

    Any dense dtype, any shape, also empty and 0-d; each tensor is stored for itself, also where
    two share memory. `grids` tells by name on which grid the values of a tensor lie. Raises SecateurError for
    tensors without plain data (sparse, quantized, meta).
    """
    items: list[object] = []
    streams: list[bytes] = []
    for name, tensor in tensors.items():
        entry, parts = _pack(name, tensor)
        item: object = entry.row()
        if grids and name in grids and (packed := _on_grid(name, tensor, grids[name], len(b"".join(parts)))):
            item, parts = packed
        items.append(item)
        streams += parts
    version = VERSION if any(isinstance(item, dict) for item in items) else WITHOUT_GRIDS
    header = zlib.compress(json.dumps(items, separators=(",", ":")).encode(), 9)
    body = b"".join([_PREFIX.pack(MAGIC, version, len(header)), header, *streams])
    return body + hashlib.sha256(body).digest()


def _on_grid(name: str, tensor: Tensor, grid: Grid, size: int) -> tuple[object, list[bytes]] | None:
    """The header's item and the streams of a tensor by its grid; None where that takes `size` bytes or more."""
    codes = grid.codes(tensor.detach().cpu())
    if codes is None:
        return None
    packed = [_pack(name, codes), _pack("", grid.steps), _pack("", grid.low)]
    streams = [stream for _, parts in packed for stream in parts]
    if len(b"".join(streams)) + _GRID_COST >= size:
        return None
    return {"form": grid.form.as_dict(), "parts": [entry.row() for entry, _ in packed]}, streams


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors of a packed file, on the CPU, bit-equal to those given to `dump`.

    Raises SecateurError when `data` is not such a file, is of a newer version, or was changed or cut off.
    """
    body = _verified(data)
    _, _, length = _PREFIX.unpack_from(body)
    try:
        items = _items(bytes(body[_PREFIX.size : _PREFIX.size + length]))
        streams = _Streams(body[_PREFIX.size + length :])
        tensors = dict(_tensor(item, streams) for item in items)
        streams.finish()
    except (
        ValueError,
        KeyError,
        RuntimeError,
        TypeError,
        IndexError,
        OverflowError,
        MemoryError,
        zlib.error,
    ) as error:
        raise _damaged(f"Its contents contradict each other: {error}.") from error
    return tensors


# Packing


def _pack(name: str, tensor: Tensor) -> tuple[_Entry, list[bytes]]:
    elements = _elements(name, tensor)
    words = _words(elements)
    kept = np.flatnonzero(elements.any(axis=1) if words is None else words)
    rows = len(tensor) if tensor.dim() > 1 else 1
    ways: list[tuple[_Places, _Values]] = []
    coded = False
    if len(kept) < len(elements):
        row_of = kept // (len(elements) // rows)
        values = min(_ways(elements[kept], words, kept, row_of, rows), key=lambda v: v.size)
        coded = "width" in values.fields
        ways.append((_places(kept), values))
    density = len(kept) / max(len(elements), 1)
    if density >= _NEARLY_DENSE or (coded and density >= _HALF_DENSE):
        dense = _Places({"rice": DENSE, "unary": 0}, [b"", b""])
        ways.append((dense, min(_ways(elements, words, None, None, rows), key=lambda v: v.size)))
    if not ways:
        ways.append((_Places({"rice": DENSE, "unary": 0}, [b"", b""]), _plain(elements)))
    places, values = min(ways, key=lambda way: sum(map(len, way[0].streams)) + way[1].size)
    dtype = str(tensor.dtype).removeprefix("torch.")
    count = len(elements) if places.fields["rice"] == DENSE else len(kept)
    made = {"name": name, "dtype": dtype, "shape": list(tensor.shape), "count": count}
    entry = _Entry(**{**made, **places.fields, **values.fields})  # type: ignore[arg-type]
    return entry, places.streams + values.streams


def _elements(name: str, tensor: Tensor) -> Bytes:
    """The bytes of each element: (elements, bytes of an element)."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise SecateurError(
            "A tensor cannot be packed", f"{name} is not a plain dense tensor with data ({tensor.layout})."
        )
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    raw: Bytes = to_array(flat.view(torch.uint8)) if flat.numel() else np.empty(0, np.uint8)
    return raw.reshape(-1, tensor.element_size())


def _words(elements: Bytes) -> Words | None:
    """Each element's bytes as one integer; None for elements of more than 8 bytes."""
    size = elements.shape[1]
    return elements.view(f"<u{size}")[:, 0] if size <= 8 else None


def _places(kept: Integers) -> _Places:
    gaps = np.diff(kept, prepend=-1) - 1
    k, streams = coding.rice(gaps)
    runs = coding.runs(gaps)
    coded = coding.huffman(runs.tobytes())
    if len(coded) + _HEADER_COST < sum(map(len, streams)):
        return _Places({"rice": RUNS, "unary": len(coded), "runs": len(runs)}, [coded, b""])
    return _Places({"rice": k, "unary": len(streams[0])}, streams)


def _ways(
    elements: Bytes, words: Words | None, kept: Integers | None, row_of: Integers | None, rows: int
) -> Iterator[_Values]:
    """The values of the stored `elements` in every way there is; `kept` picks theirs of `words`."""
    yield _plain(elements)
    if words is None or not len(elements):
        return
    stored = words if kept is None else words[kept]
    for palette in palettes(stored, row_of, rows):
        yield _coded(palette)


def _plain(elements: Bytes) -> _Values:
    streams = coding.planes(elements)
    return _Values({"planes": [len(plane) for plane in streams]}, streams)


def _coded(palette: Palette) -> _Values:
    table = np.ascontiguousarray(palette.table)
    planes = coding.planes(table.view(np.uint8).reshape(table.size, table.itemsize))
    bits = coding.bits_for(max(palette.sizes))
    indices = coding.huffman(palette.symbols.tobytes())
    if len(indices) < (len(palette.symbols) * bits + 7) // 8:
        bits = 0
    else:
        indices = coding.pack_bits(palette.symbols, bits)
    made = {
        "planes": [len(plane) for plane in planes],
        "width": table.shape[1],
        "tables": palette.sizes,
        "indices": len(indices),
        "bits": bits,
    }
    return _Values(made, [*planes, indices])


# Unpacking


def _verified(data: bytes) -> memoryview:
    """`data` without its digest, once the digest has been found right."""
    if len(data) < _PREFIX.size + _DIGEST or data[: len(MAGIC)] != MAGIC:
        raise SecateurError("Not a packed file", "It does not start as one.")
    _, version, _ = _PREFIX.unpack_from(data)
    body = memoryview(data)[:-_DIGEST]
    if version > VERSION:
        raise SecateurError(
            "The packed file is of a newer version",
            f"It is version {version}; this secateur reads up to {VERSION}.",
            "Update secateur.",
        )
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise _damaged("Its checksum is wrong: it was changed or cut off.")
    return body


def _damaged(detail: str) -> SecateurError:
    return SecateurError("The packed file is damaged", detail, "Write or copy it again.")


def _items(header: bytes) -> list[Any]:
    """What the header has of each tensor: its entry, or its grid and the entries of its parts."""
    decoder = zlib.decompressobj()
    items: list[Any] = json.loads(decoder.decompress(header, _HEADER_LIMIT))
    return items


def _tensor(item: Any, streams: "_Streams") -> tuple[str, Tensor]:
    """The name and the tensor of one item of the header."""
    if isinstance(item, dict):
        entries = [_Entry(*row) for row in item["parts"]]
        codes, steps, low = (_unpack(entry, streams) for entry in entries)
        return entries[0].name, Grid(GridForm(**item["form"]), steps, low).weight(codes)
    entry = _Entry(*item)
    return entry.name, _unpack(entry, streams)


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
    positions = _positions(entry, streams.take(entry.unary), streams.take(entry.remainders), length)
    elements = coding.unplanes([streams.take(size) for size in entry.planes], entry.plain)
    if entry.width:
        elements = _from_tables(entry, elements, streams.take(entry.indices), positions, length)
    if positions is not None:
        values, elements = elements, np.zeros((length, dtype.itemsize), np.uint8)
        elements[positions] = values
    if len(elements) != length:
        raise ValueError(f"{entry.name} has {len(elements)} elements, its shape {length}")
    if not length:
        return torch.empty(entry.shape, dtype=dtype)
    return aligned(from_array(elements.reshape(-1)).view(dtype)).reshape(entry.shape)


def _positions(entry: _Entry, unary: memoryview, low: memoryview, length: int) -> Integers | None:
    """Positions of the stored elements in the flattened tensor, ascending; None: all."""
    if entry.rice == DENSE:
        return None
    if entry.rice == RUNS:
        positions = coding.unruns(coding.unhuffman(unary, entry.runs), entry.count)
    else:
        positions = coding.unrice(entry.rice, unary, low, entry.count)
    if len(positions) and positions[-1] >= length:
        raise ValueError(f"{entry.name} has a value outside its shape")
    return positions


def _from_tables(
    entry: _Entry, tables: Bytes, stream: memoryview, positions: Integers | None, length: int
) -> Bytes:
    """The stored elements (count, bytes), looked up in their tables."""
    if entry.width < 1 or not entry.count or entry.count % entry.width or min(entry.tables) < 0:
        raise ValueError(f"{entry.name} has a codebook of {entry.tables} entries of {entry.width}")
    count = entry.count // entry.width
    symbols = (
        coding.unpack_bits(stream, entry.bits, count) if entry.bits else coding.unhuffman(stream, count)
    ).astype(np.int64)
    sizes = np.array(entry.tables)
    if len(sizes) > 1:
        if length % len(sizes):
            raise ValueError(f"{entry.name} has {len(sizes)} codebooks for its shape {entry.shape}")
        row = (np.arange(length) if positions is None else positions) // (length // len(sizes))
        if (symbols >= sizes[row]).any():
            raise ValueError(f"{entry.name} has an index outside its codebook")
        symbols += (np.cumsum(sizes) - sizes)[row]
    size = tables.shape[1]
    return tables.reshape(-1, entry.width * size)[symbols].reshape(-1, size)
