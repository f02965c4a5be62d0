"""Paths of images by number, as plain bytes: a million of them in a hundred megabytes that forked processes share."""

import os
from collections.abc import Iterable

import numpy as np
from PIL import Image

from engine.compute.data.opening import open_array, open_image
from engine.compute.data.pixels import Array


class Paths:
    """The files of images, in an order. Lists of texts would be copied by every process that only counts their uses."""

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([len(path) for path in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def place(self, number: int) -> str:
        start = int(self._ends[number - 1]) if number else 0
        return os.fsdecode(self._bytes[start : int(self._ends[number])])

    def open(self, number: int) -> Image.Image | Array:
        path = self.place(number)
        if path.lower().endswith(".npy"):
            return open_array(path)
        return open_image(path)
