"""Codes for streams of small integers, written by numpy and zlib without a loop over elements; `unpack` reads them.

Huffman codes are deflate's (RFC 1951, canonical codes of at most 15 bits), with the search for repetitions off.
"""

import math
import zlib

import numpy as np
import numpy.typing as npt

from engine.compute.measures.unpack import BLOCK, ESCAPE

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


def huffman(plane: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(plane) + coder.flush()


def planes(elements: Bytes) -> list[bytes]:
    """The first bytes of all `elements` (n, bytes), the second bytes, …: each Huffman coded if that is smaller."""
    raw = [np.ascontiguousarray(elements[:, i]).tobytes() for i in range(elements.shape[1])]
    return [min(plane, huffman(plane), key=len) for plane in raw]


def bits_for(symbols: int) -> int:
    """Bits of an index below `symbols`: 1 … 8."""
    return max((symbols - 1).bit_length(), 1)


def pack_bits(symbols: Bytes, bits: int) -> bytes:
    """Each symbol in `bits` bits, 1 … 8."""
    if bits == 8:
        return symbols.tobytes()
    parts = []
    for start in range(0, len(symbols), BLOCK):
        single = np.unpackbits(symbols[start : start + BLOCK, None], axis=1)[:, 8 - bits :]
        parts.append(np.packbits(single).tobytes())
    return b"".join(parts)


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


def runs(gaps: Integers) -> Bytes:
    """Each gap as a byte, a longer one as bytes of ESCAPE before its rest: to be Huffman coded.

    With gaps of a fixed width and fillers for longer ones, as Deep Compression has it (Han et al. 2016, section 2).
    """
    ends = np.cumsum(gaps // ESCAPE + 1) - 1
    out = np.full(int(ends[-1]) + 1 if len(ends) else 0, ESCAPE, np.uint8)
    out[ends] = gaps % ESCAPE
    return out
