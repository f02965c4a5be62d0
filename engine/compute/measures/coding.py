"""Codes for streams of small integers, written and read by numpy and zlib without a loop over elements.

Huffman codes are deflate's (RFC 1951, canonical codes of at most 15 bits), with the search for repetitions off.
"""

import math
import zlib

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

ESCAPE = 255
"""A byte of `runs`: so many zeros, and the run goes on."""
_BLOCK = 1 << 22
"""Symbols that are bit-packed at once, a multiple of 8: what bounds the memory for it."""


def huffman(plane: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(plane) + coder.flush()


def unhuffman(stream: memoryview, count: int) -> Bytes:
    """The `count` bytes that `huffman` was given. Raises ValueError or zlib.error when it was given others."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    return _exactly(np.frombuffer(decoder.decompress(stream, count) if count else b"", np.uint8), count)


def _exactly(plane: Bytes, count: int) -> Bytes:
    if len(plane) != count:
        raise ValueError(f"a stream has {len(plane)} symbols instead of {count}")
    return plane


def planes(elements: Bytes) -> list[bytes]:
    """The first bytes of all `elements` (n, bytes), the second bytes, …: each Huffman coded if that is smaller."""
    raw = [np.ascontiguousarray(elements[:, i]).tobytes() for i in range(elements.shape[1])]
    return [min(plane, huffman(plane), key=len) for plane in raw]


def unplanes(streams: list[memoryview], count: int) -> Bytes:
    """(count, bytes) from what `planes` gave."""
    elements = np.empty((count, len(streams)), np.uint8)
    for i, stream in enumerate(streams):
        coded = len(stream) < count
        elements[:, i] = (
            unhuffman(stream, count) if coded else _exactly(np.frombuffer(stream, np.uint8), count)
        )
    return elements


def bits_for(symbols: int) -> int:
    """Bits of an index below `symbols`: 1 … 8."""
    return max((symbols - 1).bit_length(), 1)


def pack_bits(symbols: Bytes, bits: int) -> bytes:
    """Each symbol in `bits` bits, 1 … 8."""
    if bits == 8:
        return symbols.tobytes()
    parts = []
    for start in range(0, len(symbols), _BLOCK):
        single = np.unpackbits(symbols[start : start + _BLOCK, None], axis=1)[:, 8 - bits :]
        parts.append(np.packbits(single).tobytes())
    return b"".join(parts)


def unpack_bits(stream: memoryview, bits: int, count: int) -> Bytes:
    """The `count` symbols that `pack_bits` was given."""
    if not 1 <= bits <= 8 or len(stream) != (count * bits + 7) // 8:
        raise ValueError(f"{len(stream)} bytes for {count} symbols of {bits} bits")
    coded = np.frombuffer(stream, np.uint8)
    if bits == 8:
        return coded
    symbols = np.empty(count, np.uint8)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        single = np.unpackbits(coded[start * bits // 8 :][: (size * bits + 7) // 8], count=size * bits)
        wide = np.zeros((size, 8), np.uint8)
        wide[:, 8 - bits :] = single.reshape(size, bits)
        symbols[start : start + size] = np.packbits(wide, axis=1)[:, 0]
    return symbols


def rice(gaps: Integers) -> tuple[int, list[bytes]]:
    """Golomb-Rice: the parameter k, and the streams of ``gap >> k`` in unary and of the k low bits."""
    k = _rice_parameter(gaps)
    ends = np.cumsum((gaps >> k) + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1 if len(ends) else 0, np.uint8)
    unary[ends] = 1
    low = np.empty((len(gaps), k), np.uint8)
    for bit in range(k):
        low[:, bit] = (gaps >> bit) & 1
    return k, [np.packbits(unary).tobytes(), np.packbits(low).tobytes()]


def _rice_parameter(gaps: Integers) -> int:
    """The `k` with the fewest bits, near log2(mean gap · ln 2) for random positions."""
    if not len(gaps):
        return 0
    guess = int(math.log2(max(float(gaps.mean()) * math.log(2), 1.0)))
    return min(range(max(guess - 1, 0), guess + 3), key=lambda k: int((gaps >> k).sum()) + len(gaps) * k)


def unrice(k: int, unary: memoryview, low: memoryview, count: int) -> Integers:
    """The positions whose `count` gaps `rice` was given, ascending."""
    if not 0 <= k < 63:
        raise ValueError(f"Rice parameter {k}")
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(unary, np.uint8)))
    if len(ends) != count:
        raise ValueError(f"{len(ends)} positions for {count} values")
    if not k:
        return ends
    gaps = (np.diff(ends, prepend=-1) - 1) << k
    bits = np.unpackbits(np.frombuffer(low, np.uint8), count=count * k)
    for bit in range(k):
        gaps += bits[bit::k].astype(np.int64) << bit
    return np.cumsum(gaps + 1) - 1


def runs(gaps: Integers) -> Bytes:
    """Each gap as a byte, a longer one as bytes of ESCAPE before its rest: to be Huffman coded.

    With gaps of a fixed width and fillers for longer ones, as Deep Compression has it (Han et al. 2016, section 2).
    """
    ends = np.cumsum(gaps // ESCAPE + 1) - 1
    out = np.full(int(ends[-1]) + 1 if len(ends) else 0, ESCAPE, np.uint8)
    out[ends] = gaps % ESCAPE
    return out


def unruns(coded: Bytes, count: int) -> Integers:
    """The positions whose `count` gaps `runs` was given, ascending."""
    ends = np.flatnonzero(coded != ESCAPE)
    if len(ends) != count or (count and ends[-1] != len(coded) - 1):
        raise ValueError(f"{len(ends)} runs for {count} values")
    steps = np.where(coded == ESCAPE, np.int64(ESCAPE), coded.astype(np.int64) + 1)
    return np.cumsum(steps)[ends] - 1
