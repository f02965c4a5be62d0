"""Bringing images to one size and number of channels: resized with antialiased bilinear filtering."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from engine.compute.numerics.aligned import from_array

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey (ITU-R BT.601), in units of 2⁻¹⁶: the integers that Pillow uses."""


def fit_pixels(pixels: Tensor, size: int | None, channels: int | None) -> Tensor:
    """Resize uint8 (B, C, H, W) to `size` × `size` and convert it to `channels`, 1 or 3."""
    if channels is not None and channels != pixels.shape[1]:
        pixels = pixels.expand(-1, 3, -1, -1) if channels == 3 else _grey(pixels)
    if size is not None and tuple(pixels.shape[2:]) != (size, size):
        pixels = F.interpolate(pixels.contiguous(), (size, size), mode="bilinear", antialias=True)
    return pixels.contiguous()


def fit_image(image: Image.Image, size: int | None, channels: int | None) -> Image.Image:
    """Resize an image to `size` × `size` and convert it to `channels`, by default grey if it is stored so.

    Raises ValueError for images whose brightness has no fixed range.
    """
    grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I;16")
    image = _eight_bit(image).convert("L" if (channels or (1 if grey else 3)) == 1 else "RGB")
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return image


def to_pixels(image: Image.Image) -> Tensor:
    """A grey or colour image as uint8 (1 or 3, H, W)."""
    pixels = from_array(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _grey(pixels: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, dtype=torch.int32).view(1, 3, 1, 1)
    luma = (pixels.int() * weights).sum(dim=1, keepdim=True)
    return ((luma + (1 << 15)) >> 16).to(torch.uint8)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode!r}; grey or colour with 8 bits, or grey with 16")
    return image
