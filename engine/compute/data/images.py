"""Collections of images that give out any of their members as uint8 pixels (B, C, H, W)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from engine.compute.data.pixels import fit_image, fit_pixels, to_pixels
from engine.errors import SecateurError

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that are no images, cut short or damaged."""


class Images(Protocol):
    """Images of one shape. `slow` ones are worth fetching ahead of their use."""

    @property
    def slow(self) -> bool: ...

    def __len__(self) -> int: ...

    def gather(self, index: Tensor) -> Tensor:
        """The images numbered by `index`, int64 (B,), as uint8 (B, C, H, W)."""


class Pixels:
    """Images held as one tensor, uint8 (N, C, H, W); fitted to size and channels as they are given out."""

    def __init__(self, pixels: Tensor, size: int | None = None, channels: int | None = None) -> None:
        self._pixels = pixels
        self._size = size
        self._channels = channels
        fits_size = size is None or tuple(pixels.shape[2:]) == (size, size)
        self.slow = not (fits_size and channels in (None, pixels.shape[1]))

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(self, index: Tensor) -> Tensor:
        return fit_pixels(self._pixels[index], self._size, self._channels)


class Decoded:
    """Images decoded from files whenever they are asked for, by as many threads as torch uses.

    `open_image` gives image number i, `place` says where it lies. Without `size`, all images must be as large
    as the first; without `channels`, all must be grey or all in colour.
    """

    slow = True

    def __init__(
        self,
        count: int,
        open_image: Callable[[int], Image.Image],
        place: Callable[[int], str],
        size: int | None,
        channels: int | None,
    ) -> None:
        self._count = count
        self._open = open_image
        self._place = place
        self._size = size
        self._channels = channels
        self._shape: torch.Size | None = None

    def __len__(self) -> int:
        return self._count

    def gather(self, index: Tensor) -> Tensor:
        if self._shape is None:
            self._shape = self._decode(0).shape
        numbers: list[int] = index.tolist()
        with ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="decode") as pool:
            images = list(pool.map(self._decode, numbers))
        for number, image in zip(numbers, images, strict=True):
            if image.shape != self._shape:
                raise self._differs(number, image)
        return torch.stack(images) if images else torch.empty(0, *self._shape, dtype=torch.uint8)

    def _decode(self, number: int) -> Tensor:
        try:
            with self._open(number) as image:
                return to_pixels(fit_image(image, self._size, self._channels))
        except UNREADABLE as error:
            raise SecateurError(
                f"{self._place(number)} is not an image that can be read",
                f"{type(error).__name__}: {error}",
                "Remove or replace the file.",
            ) from error

    def _differs(self, number: int, image: Tensor) -> SecateurError:
        assert self._shape is not None
        if image.shape[0] != self._shape[0]:
            grey, colour = (number, 0) if image.shape[0] == 1 else (0, number)
            return SecateurError(
                "Some images are grey, some in colour",
                f"{self._place(grey)} is grey, {self._place(colour)} in colour.",
                "Set data.channels to 1 or 3, and every image is converted.",
            )
        first, other = (f"{shape[2]}×{shape[1]} pixels" for shape in (self._shape, image.shape))
        return SecateurError(
            "The images have different sizes",
            f"{self._place(0)} has {first}, {self._place(number)} has {other}.",
            "Set data.size, and every image is resized to that height and width.",
        )


class Subset:
    """Some of the images of a collection, in the order of `index`, int64 (M,)."""

    def __init__(self, images: Images, index: Tensor) -> None:
        self._images = images
        self._index = index

    @property
    def slow(self) -> bool:
        return self._images.slow

    def __len__(self) -> int:
        return len(self._index)

    def gather(self, index: Tensor) -> Tensor:
        return self._images.gather(self._index[index])


class Remembered:
    """Images that are decoded once, when first asked for, and kept in memory from then on."""

    def __init__(self, images: Images, shape: tuple[int, ...]) -> None:
        self._images = images
        self._pixels = torch.empty(len(images), *shape, dtype=torch.uint8)
        self._known = torch.zeros(len(images), dtype=torch.bool)

    @property
    def slow(self) -> bool:
        return not bool(self._known.all())

    def __len__(self) -> int:
        return len(self._known)

    def gather(self, index: Tensor) -> Tensor:
        missing = index[~self._known[index]]
        if len(missing):
            self._pixels[missing] = self._images.gather(missing)
            self._known[missing] = True
        return self._pixels[index]
