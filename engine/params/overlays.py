"""What steps lay over the weights of layers. Each step declares what it makes, clears and would undo."""

from enum import Enum


class Overlay(Enum):
    """What may lie over a layer's weight; the value is what users call several of them."""

    MASK = "masks"
    CODEBOOK = "codebooks"
    DICTIONARY = "dictionaries"
    GRID = "grids"


TABLES = (Overlay.CODEBOOK, Overlay.DICTIONARY, Overlay.GRID)
"""Those that hold values or steps for many weights."""
EVERY = tuple(Overlay)
EXCLUSIVE = (frozenset({Overlay.GRID, Overlay.CODEBOOK}), frozenset({Overlay.GRID, Overlay.DICTIONARY}))
"""Pairs that cannot lie over one weight, whichever is laid first."""


def exclusive_with(overlay: Overlay) -> frozenset[Overlay]:
    """The overlays that cannot lie over a weight together with `overlay`.

    >>> exclusive_with(Overlay.CODEBOOK)
    frozenset({<Overlay.GRID: 'grids'>})
    """
    return frozenset(other for pair in EXCLUSIVE if overlay in pair for other in pair - {overlay})


def ordered(overlays: frozenset[Overlay]) -> tuple[Overlay, ...]:
    """`overlays` in the order in which they are declared."""
    return tuple(one for one in Overlay if one in overlays)
