"""Opening files of images that anybody may have made: only formats that hold pixels, and not too many of those."""

import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded, told by a file's bytes and not by its name. Pillow knows more: PostScript, for one, it has run by
another program."""
MOST_PIXELS = 100_000_000
"""Of an image: those of large cameras. A file of 21 kB can hold 169 million, which take 500 MB in each thread."""
MOST_VALUES = 4 * MOST_PIXELS
"""Of an array."""

# Pillow warns from its own limit on and refuses from twice that on, in torchvision's readers too.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2

Array = npt.NDArray[np.generic]


def open_image(path: str) -> Image.Image:
    """The image, not decoded yet. Raises what Pillow raises, and ValueError for what is no file."""
    _check_file(path)
    return Image.open(path, formats=FORMATS)


def image_in(content: bytes) -> Image.Image:
    """The same of an image's bytes."""
    return Image.open(io.BytesIO(content), formats=FORMATS)


def open_array(path: str) -> Array:
    """The values of a `.npy` file. Raises ValueError for objects, for what is no file, and for too many values."""
    _check_file(path)
    with open(path, "rb") as file:  # noqa: PTH123 - called for every image of a set
        _check_header(file, os.fstat(file.fileno()).st_size)
        values: Array = np.load(file, allow_pickle=False)
    return values


def array_in(content: bytes) -> Array:
    """The same of a `.npy` file's bytes."""
    file = io.BytesIO(content)
    _check_header(file, len(content))
    values: Array = np.load(file, allow_pickle=False)
    return values


def unpacked_bytes(archive: Path) -> int:
    """What the parts of a zip file take when they are unpacked, as it says itself. Raises zipfile.BadZipFile."""
    with zipfile.ZipFile(archive) as opened:
        return sum(part.file_size for part in opened.infolist())


def _check_header(file: io.BufferedIOBase, size: int) -> None:
    """Its header must not ask for more memory than the file has values for; the file is left at its start."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    values = 1
    for length in shape:
        values *= length
    if values > MOST_VALUES or values * dtype.itemsize > size:
        raise ValueError(f"it is said to hold {values} values, in {size} bytes")
    file.seek(0)


def _check_file(path: str) -> None:
    """Opening a pipe or a device would wait for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - called for every image of a set
        raise ValueError("it is no ordinary file")
