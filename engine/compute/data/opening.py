"""Opening files of images that anybody may have made: only formats that hold pixels, and not too many of those."""

import os
import stat

import numpy as np
import numpy.typing as npt
from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded, told by a file's bytes and not by its name. Pillow knows more: PostScript, for one, it has run by
another program."""
MOST_PIXELS = 100_000_000
"""Of an image: those of large cameras. A file of 21 kB can hold 169 million, which take 500 MB in each thread."""

# Pillow warns from its own limit on and refuses from twice that on, in torchvision's readers too.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2


def open_image(path: str) -> Image.Image:
    """The image, not decoded yet. Raises what Pillow raises, and ValueError for what is no file."""
    _check(path)
    return Image.open(path, formats=FORMATS)


def open_array(path: str) -> npt.NDArray[np.generic]:
    """The values of a `.npy` file. Raises ValueError for objects, for what is no file, and for too many values."""
    _check(path)
    mapped = np.load(
        path, mmap_mode="r", allow_pickle=False
    )  # so that its header can't ask for more than there is
    if mapped.size > MOST_PIXELS * 4:
        raise ValueError(f"it holds {mapped.size} values, {MOST_PIXELS * 4} may be")
    values: npt.NDArray[np.generic] = np.array(mapped)
    return values


def _check(path: str) -> None:
    """Opening a pipe or a device would wait for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - called for every image of a set
        raise ValueError("it is no ordinary file")
