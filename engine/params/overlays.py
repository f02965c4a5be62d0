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
