"""Mean, deviation and range of the stored values, per channel and of all."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.compute.data.images import Images
from engine.compute.numerics.aligned import to_array

ENOUGH_PIXELS = 1 << 27
"""Pixels per channel that give both numbers to three digits and more; larger sets are sampled evenly."""

CHUNK_PIXELS = 1 << 23
"""Pixels per channel looked at together."""

BYTE = (0.0, 255.0)
"""Black and white of 8 bits."""
MOST_LEVELS = 1 << 16
"""Different values that are told apart: as many as 16 bits can have."""


@dataclass(frozen=True)
class Statistics:
    """What values a collection of images has.

    Attributes:
        mean: Of each channel, float64 (C,), as stored; of uint8 in units of 255.
        std: Deviation, likewise.
        least: The smallest value, as stored; `most` likewise.
        levels: How many different values there are, up to MOST_LEVELS.
        deep: Whether they are floats, not uint8.
    """

    mean: Tensor
    std: Tensor
    least: float
    most: float
    levels: int
    deep: bool

    def within(self, low: float, high: float) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel, float32 (C,), where `low` is 0 and `high` is 1.

        A channel without contrast gets deviation 1.
        """
        mean, std = self.mean, self.std
        if self.deep or (low, high) != BYTE:
            unit = 1.0 if self.deep else BYTE[1]
            mean, std = (mean * unit - low) / (high - low), std * unit / (high - low)
        return mean.float(), torch.where(std > 0, std, 1.0).float()


def statistics(images: Images, height: int, width: int) -> Statistics:
    """Of all images, or of as many, evenly chosen, as are enough. Equal whatever the number of threads."""
    enough = max(1, ENOUGH_PIXELS // (height * width))
    count = min(len(images), enough)
    index = torch.arange(count) * len(images) // count
    chunks = torch.split(index, max(1, CHUNK_PIXELS // (height * width)))
    first = images.gather(chunks[0])
    if first.is_floating_point():
        return _of_floats(images, chunks)
    # Counted in integers, whose sums do not depend on an order.
    counts = torch.stack([_histograms(images.gather(chunk)) for chunk in chunks]).sum(dim=0)
    shares = counts.double() / counts.sum(dim=1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    std = (shares * (values - mean.unsqueeze(1)) ** 2).sum(dim=1).sqrt()
    used = counts.sum(dim=0).nonzero().squeeze(1)
    return Statistics(mean, std, float(used[0]), float(used[-1]), len(used), deep=False)


def _histograms(pixels: Tensor) -> Tensor:
    """How often each value occurs in each channel: int64 (C, 256)."""
    channels = pixels.transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(channel, minlength=256) for channel in channels])


def _of_floats(images: Images, chunks: tuple[Tensor, ...]) -> Statistics:
    """In float64 and by NumPy, which sums in one thread."""
    total, squares, pixels = 0.0, 0.0, 0
    extremes: list[tuple[float, float]] = []
    levels = np.empty(0, np.float32)
    for chunk in chunks:
        values = to_array(images.gather(chunk).transpose(0, 1).flatten(1))
        extremes.append((float(values.min()), float(values.max())))
        wide = values.astype(np.float64)
        total = total + wide.sum(axis=1)
        squares = squares + (wide**2).sum(axis=1)
        pixels += values.shape[1]
        if len(levels) < MOST_LEVELS:
            levels = np.union1d(levels, np.unique(values))[:MOST_LEVELS]
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0.0))
    return Statistics(
        torch.tensor(mean),
        torch.tensor(std),
        min(low for low, _ in extremes),
        max(high for _, high in extremes),
        len(levels),
        deep=True,
    )
