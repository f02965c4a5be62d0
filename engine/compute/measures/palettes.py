"""Finds codebooks in plain tensors: few distinct values, in the whole tensor, in each row, or few distinct vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compute.measures.coding import Bytes, Integers

LARGEST = 256
"""Entries of one table at most: an index is a byte."""
MOST = 1 << 16
"""Distinct values of a tensor at most, over all its tables."""
WIDEST = 16
"""Elements of a vector at most."""
MARKS = 1 << 26
"""Rows times distinct values at most: the memory for telling which row has which."""
_SAMPLE = 1 << 14
_BLOCK = 1 << 22

Words = npt.NDArray[Any]
"""Unsigned integers of any size."""


@dataclass(frozen=True)
class Palette:
    """`symbols` are indices in one table, or, with several `sizes`, in the table of their element's row.

    `table` (entries, width): all tables, one after the other; `symbols` (elements / width,).
    """

    table: Words
    sizes: list[int]
    symbols: Bytes


def palettes(elements: Words, rows: Integers | None, row_count: int) -> Iterator[Palette]:
    """The codebooks of `elements` (n,): unsigned integers of an element's bits, so that equal means bit-equal.

    `rows` (n,) tells each element's row, None that all of a tensor is there, row after row of the same length; then
    vectors of neighbours are looked for as well.
    """
    values = distinct(elements, MOST)
    if values is None or len(values[0]) > len(elements) // 2:
        return
    table, indices = values
    if len(table) <= LARGEST:
        yield Palette(table[:, None], [len(table)], indices.astype(np.uint8))
    if row_count > 1 and len(table) * row_count <= MARKS:
        yield from _by_row(table, indices, rows, row_count)
    if rows is None:
        for width in range(2, WIDEST + 1):
            if len(elements) // row_count % width == 0 and len(table) <= LARGEST * width:
                yield from _vectors(table, indices.reshape(-1, width))


def distinct(elements: Words, most: int) -> tuple[Words, npt.NDArray[np.uint16]] | None:
    """The distinct values, ascending, and each element's index among them; None for more than `most`.

    Guessed from a sample and completed with what the guess lacks: no tensor is sorted.
    """
    step = max(len(elements) // _SAMPLE, 1)
    sample = elements[::step]
    table = np.unique(sample)
    if step > 1 and len(table) > len(sample) // 2:
        return None
    indices = np.empty(len(elements), np.uint16)
    start = 0
    while start < len(elements) and len(table) <= most:
        part = elements[start : start + _BLOCK]
        near = np.minimum(np.searchsorted(table, part), len(table) - 1)
        missing = part[table[near] != part]
        if len(missing):
            table, start = np.union1d(table, np.unique(missing)), 0
            continue
        indices[start : start + _BLOCK] = near
        start += _BLOCK
    return (table, indices) if len(table) <= most else None


def _by_row(
    table: Words, indices: npt.NDArray[np.uint16], rows: Integers | None, row_count: int
) -> Iterator[Palette]:
    """A table for each row."""
    if rows is None:
        rows = np.repeat(np.arange(row_count), len(indices) // row_count)
    marks = np.zeros((row_count, len(table)), bool)
    marks[rows, indices] = True
    sizes = marks.sum(1)
    spared = np.log2(len(table)) - np.log2(np.maximum(sizes, 1)).mean()  # bits of an index, about
    if sizes.max() > LARGEST or sizes.sum() * table.itemsize * 8 > spared * len(indices):
        return
    local = np.cumsum(marks, axis=1, dtype=np.uint16) - 1
    which = np.nonzero(marks)[1]
    yield Palette(table[which][:, None], [int(s) for s in sizes], local[rows, indices].astype(np.uint8))


def _vectors(table: Words, indices: npt.NDArray[np.uint16]) -> Iterator[Palette]:
    """A table of vectors; `indices` (n, width) in the table of single values."""
    factors: Words = np.random.default_rng(0).integers(1, 1 << 63, size=indices.shape[1:], dtype=np.uint64)
    factors |= np.uint64(1)
    few = indices[:: max(len(indices) // _SAMPLE, 1)]
    if len(np.unique(_hashes(few, factors))) > min(LARGEST, len(few) // 2):
        return
    hashes = _hashes(indices, factors)
    values = distinct(hashes, LARGEST)
    if values is None:
        return
    hashed, symbols = values
    first = np.zeros(len(hashed), np.int64)
    first[symbols[::-1]] = np.arange(len(symbols))[::-1]
    if np.array_equal(indices[first][symbols], indices):  # no two vectors have one hash
        yield Palette(table[indices[first]], [len(hashed)], symbols.astype(np.uint8))


def _hashes(indices: npt.NDArray[np.uint16], factors: Words) -> Words:
    total = np.zeros(len(indices), np.uint64)
    for column, factor in enumerate(factors):
        total += indices[:, column].astype(np.uint64) * factor
    return total
