"""Bringing images to one shape: turned upright, resized with antialiased filtering, cut, and of as many channels.

Images of up to 8 bits a value stay uint8. Those of more, signed ones and floats keep their values, as float32, which
holds every whole number up to 2²⁴.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from engine.compute.data.opening import MOST_PIXELS
from engine.compute.numerics.aligned import from_array
from engine.datasets.preprocess import resolve
from engine.params.data import Data, Interpolation
from engine.text.phrases import counted

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey (ITU-R BT.601), in units of 2⁻¹⁶: the integers that Pillow uses."""
EXACT = 1 << 24
"""The largest whole number up to which float32 holds all of them."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes of 8 bits by their channels."""
FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Fit:
    """The shape that images are brought to.

    Attributes:
        size: Height and width; None: as they are.
        channels: 1 or 3 are converted to, others must be there; None: as they are.
        resize: Pixels that the shorter side gets before the middle is cut out; None: all is resized to `size`.
        interpolation: How images are resized.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    resize: int | None = None
    interpolation: Interpolation = "bilinear"

    @classmethod
    def of(cls, params: Data, channels: int | None = None) -> "Fit":
        """What `params` ask for; of `channels` where they say nothing."""
        chosen = resolve(params)
        return cls(chosen.size, params.channels or channels, chosen.resize, chosen.interpolation)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before `size` is cut out (torchvision's `Resize`: the longer side is rounded down).

        Raises ValueError for images so long that no memory would hold them.
        """
        if self.resize is None:
            return self.size or (height, width)
        short, long = min(height, width), max(height, width)
        longer = int(self.resize * long / short)
        if self.resize * longer > MOST_PIXELS:
            raise ValueError(
                f"{width}×{height} pixels: its shorter side as {self.resize} makes it {longer} long"
            )
        return (self.resize, longer) if height <= width else (longer, self.resize)

    def leaves(self, shape: tuple[int, ...]) -> bool:
        """Whether images of this shape (C, H, W) stay as they are."""
        height, width = shape[1:]
        alike = self.resized(height, width) == (height, width) and self.size in (None, (height, width))
        return alike and self.channels in (None, shape[0])


def fit_pixels(pixels: Tensor, fit: Fit) -> Tensor:
    """Bring uint8 or float32 (B, C, H, W) to the shape `fit`. Raises ValueError for channels that aren't there."""
    if fit.channels is not None and fit.channels != pixels.shape[1]:
        pixels = _converted(pixels, fit.channels)
    size = fit.resized(pixels.shape[2], pixels.shape[3])
    if tuple(pixels.shape[2:]) != size:
        mode = "nearest-exact" if fit.interpolation == "nearest" else fit.interpolation
        pixels = F.interpolate(pixels.contiguous(), size, mode=mode, antialias=mode != "nearest-exact")
    if fit.size is not None and size != fit.size:
        left, above = _margins(size, fit.size)
        # Negative margins cut off, positive ones fill up with black.
        right, below = fit.size[1] - size[1] - left, fit.size[0] - size[0] - above
        pixels = F.pad(pixels, (left, right, above, below))
    return pixels.contiguous()


def _margins(given: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """What comes to the left and above, to have `wanted` around the middle of `given` (as torchvision rounds it)."""
    (height, width), (high, wide) = given, wanted
    left = -round((width - wide) / 2) if width >= wide else (wide - width) // 2
    above = -round((height - high) / 2) if height >= high else (high - height) // 2
    return left, above


def _converted(pixels: Tensor, channels: int) -> Tensor:
    given = pixels.shape[1]
    if given == 1 and channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    if given == 3 and channels == 1:
        return _grey(pixels)
    raise ValueError(f"{counted(given, 'channel')} can't become {channels}")


def decode(image: Image.Image | Array, fit: Fit) -> Tensor:
    """An image as it is to be seen, in the shape `fit`: uint8 or float32 (C, H, W).

    Raises ValueError for what can't be shown as that.
    """
    if isinstance(image, np.ndarray):
        return _fitted(_from_values(image), fit)
    _check_depth(image)
    ImageOps.exif_transpose(image, in_place=True)
    deep = _deep(image)
    return to_pixels(fit_image(image, fit)) if deep is None else _fitted(deep, fit)


def _fitted(values: Tensor, fit: Fit) -> Tensor:
    return fit_pixels(values.unsqueeze(0), fit).squeeze(0)


def fit_image(image: Image.Image, fit: Fit) -> Image.Image:
    """An image of 8 bits in the shape `fit`; by default grey if it is stored so, else in colour."""
    grey = image.mode in ("1", "L", "LA")
    channels = fit.channels or (1 if grey else 3)
    if channels not in MODES or (channels == 4 and not image.has_transparency_data):
        raise ValueError(f"mode {image.mode!r} can't become {counted(channels, 'channel')}")
    image = image.convert(MODES[channels])
    height, width = fit.resized(image.height, image.width)
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[fit.interpolation])
    if fit.size is not None and (height, width) != fit.size:
        left, above = _margins((height, width), fit.size)
        image = image.crop((-left, -above, fit.size[1] - left, fit.size[0] - above))
    return image


def to_pixels(image: Image.Image) -> Tensor:
    """An image of 8 bits as uint8 (C, H, W)."""
    pixels = from_array(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _grey(pixels: Tensor) -> Tensor:
    if pixels.is_floating_point():
        return (pixels * (torch.tensor(LUMA).float() / (1 << 16)).view(1, 3, 1, 1)).sum(1, keepdim=True)
    weights = torch.tensor(LUMA, dtype=torch.int32).view(1, 3, 1, 1)
    luma = (pixels.int() * weights).sum(dim=1, keepdim=True)
    return ((luma + (1 << 15)) >> 16).to(torch.uint8)


def _check_depth(image: Image.Image) -> None:
    """Raises ValueError for colours of 16 bits, of which Pillow keeps the upper 8 without a word."""
    stored = str([tile[3] for tile in getattr(image, "tile", ())])  # what is read, until it is loaded
    if ";16" in stored and not image.mode.startswith("I"):
        raise ValueError(
            "colours of 16 bits, of which Pillow reads 8; save it as .npy, (height, width, channels)"
        )


def _deep(image: Image.Image) -> Tensor | None:
    """The values (C, H, W) of a grey image of more than 8 bits, float32; None of others."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_values(np.array(image))
    return None


def _from_values(values: Array) -> Tensor:
    """An array (H, W) or (H, W, C) as (C, H, W): uint8 as it is, others as float32."""
    if values.ndim not in (2, 3) or not values.size:
        raise ValueError(f"an array of {values.shape}, not (height, width) or (height, width, channels)")
    if values.dtype.kind not in "uif":
        raise ValueError(f"an array of {values.dtype}, not of numbers")
    if values.ndim == 3 and values.shape[0] in MODES and values.shape[2] > max(MODES):
        raise ValueError(f"an array of {values.shape}: channels come last, (height, width, channels)")
    planes = values[..., None] if values.ndim == 2 else values
    if values.dtype != np.uint8:
        if not np.isfinite(values).all():
            raise ValueError("values that are no numbers (NaN or infinite)")
        if values.dtype.kind in "ui" and int(np.abs(values.astype(np.int64)).max()) > EXACT:
            raise ValueError(f"values beyond {EXACT}, which float32 does not tell apart")
        planes = planes.astype(np.float32)
    return from_array(np.ascontiguousarray(planes.transpose(2, 0, 1)))
