"""Packs tensors into a file whose size falls with zeros and with shared values; `unpack` reads it and has its layout.

A *zero* is an element whose bits are all zero, so that -0.0 and every NaN come back as they were. Each tensor is
stored in the smallest of these ways.

*Where elements are*: dense (all are stored), or sparse: the gaps between non-zeros, and the non-zeros. Gaps are
Golomb-Rice coded (Golomb, 1966; Rice & Plaunt, 1971), ``gap >> k`` in unary and the ``k`` low bits as they are in
two streams (with ``k = 0`` the unary stream *is* the bitmap of non-zeros), or Huffman coded as bytes with an
escape (Deep Compression, Han et al. 2016).

*What they are*: byte planes, each Huffman coded where that is smaller (of trained fp32 weights the byte of sign
and exponent shrinks to about 0.4, the mantissa's bytes not at all; together about 15 % fewer bytes), or a
codebook of the distinct values and the index of each element, bit-packed or Huffman coded. A codebook belongs to
the tensor or to each of its rows, its entries are values or vectors of neighbouring ones. It is found by counting,
so it is found in any tensor, whatever made its values few. Of float32 numbers that are numbers of float16, all of a
tensor (`quantize.half`), two bytes each are stored.

A tensor whose grid is given (`quantize.weights`) is stored as its codes, its steps and how many points lie below
zero, a tensor each, where that is smaller: then a step is stored for each row or group and no value twice.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.compute.layers.grids import Grid
from engine.compute.measures import coding
from engine.compute.measures.coding import Bytes, Integers
from engine.compute.measures.palettes import Palette, Words, palettes
from engine.compute.measures.unpack import DENSE, DTYPES, HALF, MAGIC, PREFIX, RUNS, SINGLE, VERSION, Entry
from engine.compute.numerics.aligned import bits, to_array
from engine.errors import SecateurError

_NEARLY_DENSE = 0.75
"""Density above which a tensor without a codebook may be smaller dense, so that both ways are tried."""
_HALF_DENSE = 0.3
"""The same with a codebook, in which zero can be an entry: below this, a bit for each zero is more than its gap."""
_HEADER_COST = 8
"""Bytes that a codebook costs in the header, about, beside one for each table."""
_GRID_COST = 40
"""Bytes that a grid and its two more tensors cost in the header, about."""


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
    tensors without plain data (sparse, quantized, meta), or of a type that `unpack` has no name for.
    """
    items: list[object] = []
    streams: list[bytes] = []
    for name, tensor in tensors.items():
        entry, parts = _pack(name, tensor)
        item: object = _row(entry)
        if grids and name in grids and (packed := _on_grid(name, tensor, grids[name], len(b"".join(parts)))):
            item, parts = packed
        items.append(item)
        streams += parts
    header = zlib.compress(json.dumps(items, separators=(",", ":")).encode(), 9)
    body = b"".join([PREFIX.pack(MAGIC, VERSION, len(header)), header, *streams])
    return body + hashlib.sha256(body).digest()


def _on_grid(name: str, tensor: Tensor, grid: Grid, size: int) -> tuple[object, list[bytes]] | None:
    """The header's item and the streams of a tensor by its grid; None where that takes `size` bytes or more."""
    if DTYPES[_dtype(name, grid.steps)].kind != "f":
        return None  # readers multiply codes and steps, and NumPy has no bfloat16
    codes = grid.codes(tensor.detach().cpu())
    if codes is None:
        return None
    packed = [_pack(name, codes), _pack("", grid.steps), _pack("", grid.low)]
    streams = [stream for _, parts in packed for stream in parts]
    if len(b"".join(streams)) + _GRID_COST >= size:
        return None
    return {"form": grid.form.as_dict(), "parts": [_row(entry) for entry, _ in packed]}, streams


def _row(entry: Entry) -> list[object]:
    """`entry` as it stands in the header: without the fields of a codebook, and of coded gaps, where it has none."""
    fields = list(vars(entry).values())
    return fields if entry.width else fields[:8] if entry.runs else fields[:7]


def _pack(name: str, tensor: Tensor) -> tuple[Entry, list[bytes]]:
    elements = _narrowed(_elements(name, tensor), tensor.dtype)
    words = _words(elements)
    # Bits, not values: -0.0 is kept. No integer has the 16 bytes of a complex128.
    kept = np.flatnonzero(elements.any(axis=1) if words is None else words)
    rows = len(tensor) if tensor.dim() > 1 else 1
    ways: list[tuple[_Places, _Values]] = []
    coded = False
    # Ways are coded and their bytes counted: no formula knows what Huffman makes of a tensor.
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
    count = len(elements) if places.fields["rice"] == DENSE else len(kept)
    made = {"name": name, "dtype": _dtype(name, tensor), "shape": list(tensor.shape), "count": count}
    entry = Entry(**{**made, **places.fields, **values.fields})  # type: ignore[arg-type]
    return entry, places.streams + values.streams


def _dtype(name: str, tensor: Tensor) -> str:
    """torch's name of the elements' type."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise SecateurError("A tensor cannot be packed", f"{name} has elements of the type {dtype}.")
    return dtype


def _elements(name: str, tensor: Tensor) -> Bytes:
    """The bytes of each element: (elements, bytes of an element)."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise SecateurError(
            "A tensor cannot be packed", f"{name} is not a plain dense tensor with data ({tensor.layout})."
        )
    raw: Bytes = to_array(bits(tensor))
    return raw.reshape(-1, tensor.element_size())


def _narrowed(elements: Bytes, dtype: torch.dtype) -> Bytes:
    """Of float32 `elements` the two bytes of the same numbers in float16, if every one is the same to the bit."""
    if dtype != torch.float32 or not len(elements):
        return elements
    numbers = elements.view(SINGLE)[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        halves = numbers.astype(HALF)
    if not np.array_equal(halves.astype(SINGLE).view("<u4"), numbers.view("<u4")):
        return elements
    narrow: Bytes = halves.view(np.uint8).reshape(-1, HALF.itemsize)
    return narrow


def _words(elements: Bytes) -> Words | None:
    """Each element's bytes as one integer; None for elements of more than 8 bytes."""
    size = elements.shape[1]
    return elements.view(f"<u{size}")[:, 0] if size <= 8 else None


def _places(kept: Integers) -> _Places:
    gaps = np.diff(kept, prepend=-1) - 1  # zeros before each stored element
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
    # (entries, width) of whole words → (entries · width, bytes): a table is stored as elements are.
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
