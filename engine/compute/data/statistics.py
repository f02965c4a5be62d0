"""Mean and standard deviation of the pixels, per channel."""

import torch
from torch import Tensor

from engine.compute.data.images import Images

ENOUGH_PIXELS = 1 << 27
"""Pixels per channel that give both numbers to three digits and more; larger sets are sampled evenly."""

CHUNK_PIXELS = 1 << 23
"""Pixels per channel looked at together."""


def mean_and_std(images: Images, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, float32 (C,), in units where 255 is 1.

    Counted in integers, so that they don't depend on the number of threads. A channel without contrast gets
    deviation 1.
    """
    enough = max(1, ENOUGH_PIXELS // (height * width))
    count = min(len(images), enough)
    index = torch.arange(count) * len(images) // count
    chunks = torch.split(index, max(1, CHUNK_PIXELS // (height * width)))
    counts = torch.stack([_histograms(images.gather(chunk)) for chunk in chunks]).sum(dim=0)
    shares = counts.double() / counts.sum(dim=1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    std = (shares * (values - mean.unsqueeze(1)) ** 2).sum(dim=1).sqrt()
    return mean.float(), torch.where(std > 0, std, 1.0).float()


def _histograms(pixels: Tensor) -> Tensor:
    """How often each value occurs in each channel: int64 (C, 256)."""
    channels = pixels.transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(channel, minlength=256) for channel in channels])
