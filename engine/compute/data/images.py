"""Collections of images that give out any of their members as pixels (B, C, H, W), uint8 or float32."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
from PIL import Image
from torch import Tensor

from engine.compute.data.pixels import Array, Fit, decode, fit_pixels
from engine.errors import SecateurError
from engine.text.phrases import counted

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that are no images, cut short or damaged."""
CHUNK = 1024
"""Images decoded before the next are begun, where all are wanted."""
LISTED = 12
"""How many damaged files an error names."""


class Images(Protocol):
    """Images of one shape and type. `slow` ones are worth fetching ahead of use, `by_processes` in other processes."""

    @property
    def slow(self) -> bool: ...

    @property
    def by_processes(self) -> bool: ...

    def __len__(self) -> int: ...

    def gather(self, index: Tensor) -> Tensor:
        """The images numbered by `index`, int64 (B,), as uint8 or float32 (B, C, H, W)."""


class Files(Protocol):
    """Images that lie somewhere, to be opened by number. It goes to other processes, so it is plain data."""

    def __len__(self) -> int: ...

    def open(self, number: int) -> Image.Image | Array:
        """Image `number` as Pillow opens it, or its values (H, W) or (H, W, C)."""

    def place(self, number: int) -> str:
        """Where it lies, for messages."""


class Pixels:
    """Images held as one tensor, uint8 or float32 (N, C, H, W); brought to the shape `fit` as they are given out."""

    by_processes = False

    def __init__(self, pixels: Tensor, fit: Fit | None = None) -> None:
        self._pixels = pixels
        self._fit = fit or Fit()
        try:
            self.slow = not self._fit.leaves(tuple(pixels.shape[1:]))
        except ValueError as error:
            raise SecateurError(
                f"The images can't be resized: {error}", "", "Set data.size alone."
            ) from error
        given, wanted = pixels.shape[1], self._fit.channels
        if wanted not in (None, given) and {given, wanted} != {1, 3}:
            raise SecateurError(
                f"Images of {counted(given, 'channel')} can't become images of {wanted}",
                "Grey and colour (1 and 3) are converted into each other, nothing else is.",
                "Leave data.channels out.",
            )

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(self, index: Tensor) -> Tensor:
        return fit_pixels(self._pixels[index], self._fit)


@dataclass(frozen=True)
class Damaged:
    """An image that can't be read: where it lies, and why."""

    place: str
    reason: str


class Decoded:
    """Images decoded from files whenever they are asked for, by as many threads as torch uses.

    Without a size in `fit`, all images must be as large as the first; without channels, all must be grey or all in
    colour.
    """

    slow = True
    by_processes = True

    def __init__(self, files: Files, fit: Fit) -> None:
        self.files = files
        self.fit = fit
        self._first: Tensor | None = None

    def __len__(self) -> int:
        return len(self.files)

    def gather(self, index: Tensor) -> Tensor:
        if self._first is None:
            self._first = self._whole([0])[0]
        first = self._first
        numbers: list[int] = index.tolist()
        images = self._whole(numbers)
        for number, image in zip(numbers, images, strict=True):
            if (image.shape, image.dtype) != (first.shape, first.dtype):
                raise differing((self.place(0), self.place(number)), first, image)
        return torch.stack(images) if images else torch.empty(0, *first.shape, dtype=first.dtype)

    def _whole(self, numbers: list[int]) -> list[Tensor]:
        decoded = self.attempt(numbers)
        damaged = [one for one in decoded if isinstance(one, Damaged)]
        if damaged:
            raise unreadable(damaged)
        return [one for one in decoded if isinstance(one, Tensor)]

    def attempt(self, numbers: Sequence[int]) -> list[Tensor | Damaged]:
        """The images of these numbers, (C, H, W), and what is wrong with those that can't be read."""
        threads = min(torch.get_num_threads(), len(numbers))
        if threads < 2:
            return [self._decode(number) for number in numbers]
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            return list(pool.map(self._decode, numbers))

    def _decode(self, number: int) -> Tensor | Damaged:
        try:
            opened = self.files.open(number)
            if isinstance(opened, Image.Image):
                with opened as image:
                    return decode(image, self.fit)
            return decode(opened, self.fit)
        except UNREADABLE as error:
            return Damaged(self.files.place(number), f"{type(error).__name__}: {error}")

    def place(self, number: int) -> str:
        """Where an image lies, for messages."""
        return self.files.place(number)


def differing(places: tuple[str, str], one: Tensor, two: Tensor) -> SecateurError:
    """The error for two images (C, H, W) of one set that differ in shape or type."""
    if one.dtype != two.dtype:
        plain, deep = places if one.dtype == torch.uint8 else reversed(places)
        return SecateurError(
            "Some images have 8 bits a value, some more",
            f"{plain} has 8 bits, {deep} has more: what is black and white in both is not known.",
            "Save all of them alike.",
        )
    counts = one.shape[0], two.shape[0]
    if set(counts) == {1, 3}:
        grey, colour = places if counts[0] == 1 else reversed(places)
        return SecateurError(
            "Some images are grey, some in colour",
            f"{grey} is grey, {colour} in colour.",
            "Set data.channels to 1 or 3, and every image is converted.",
        )
    if counts[0] != counts[1]:
        return SecateurError(
            "The images have different numbers of channels",
            f"{places[0]} has {counts[0]}, {places[1]} has {counts[1]}.",
            "Save all of them alike.",
        )
    sizes = [f"{image.shape[2]}×{image.shape[1]} pixels" for image in (one, two)]
    return SecateurError(
        "The images have different sizes",
        f"{places[0]} has {sizes[0]}, {places[1]} has {sizes[1]}.",
        "Set data.size, and every image is resized to that height and width.",
    )


class Unreadable(SecateurError):
    """Images that can't be read; the text names the first of them, `damaged` has all."""

    damaged: tuple[Damaged, ...] = ()


def unreadable(damaged: Sequence[Damaged]) -> Unreadable:
    """The error for images that can't be read, all of them at once."""
    one = len(damaged) == 1
    if one:
        title, detail = f"{damaged[0].place} is not an image that can be read", damaged[0].reason
    else:
        title = f"{counted(len(damaged), 'image')} can't be read"
        more = [f"  and {len(damaged) - LISTED} more"] if len(damaged) > LISTED else []
        detail = "\n".join([*(f"  {each.place} ({each.reason})" for each in damaged[:LISTED]), *more])
    files, them = ("the file", "it") if one else ("the files", "them")
    remedy = f"Remove or replace {files}, or set data.skip_damaged: true to leave {them} out."
    error = Unreadable(title, detail, remedy)
    error.damaged = tuple(damaged)
    return error


class Subset:
    """Some of the images of a collection, in the order of `index`, int64 (M,)."""

    def __init__(self, images: Images, index: Tensor) -> None:
        self.images = images
        self.index = index

    @property
    def slow(self) -> bool:
        return self.images.slow

    @property
    def by_processes(self) -> bool:
        return self.images.by_processes

    def __len__(self) -> int:
        return len(self.index)

    def gather(self, index: Tensor) -> Tensor:
        return self.images.gather(self.index[index])

    def attempt(self, numbers: Sequence[int]) -> list[Tensor | Damaged]:
        """As of `Decoded`, of which these images must be some."""
        assert isinstance(self.images, Decoded | Subset)
        return self.images.attempt(self.index[list(numbers)].tolist())

    def place(self, number: int) -> str:
        assert isinstance(self.images, Decoded | Subset)
        return self.images.place(int(self.index[number]))


class Remembered:
    """Images that are decoded once, when first asked for, and kept in memory from then on.

    `like` is one of them, (1, C, H, W): all are of its shape and type.
    """

    by_processes = False

    def __init__(self, images: Images, like: Tensor) -> None:
        self.images = images
        self._pixels = torch.empty(len(images), *like.shape[1:], dtype=like.dtype)
        self._known = torch.zeros(len(images), dtype=torch.bool)

    @property
    def slow(self) -> bool:
        return not bool(self._known.all())

    def __len__(self) -> int:
        return len(self._known)

    def gather(self, index: Tensor) -> Tensor:
        missing = index[~self._known[index]]
        if len(missing):
            self._pixels[missing] = self.images.gather(missing)
            self._known[missing] = True
        return self._pixels[index]

    def fill(self) -> list[Damaged]:
        """Decode all images; those that can't be read are given back, and stay unknown."""
        damaged: list[Damaged] = []
        for index in torch.split(torch.arange(len(self)), CHUNK):
            if not from_files(self.images):
                self.gather(index)
                continue
            for number, image in zip(index.tolist(), self.images.attempt(index.tolist()), strict=True):
                if isinstance(image, Damaged):
                    damaged.append(image)
                    continue
                if (image.shape, image.dtype) != (self._pixels.shape[1:], self._pixels.dtype):
                    alike = int(self._known.nonzero()[0])  # the first one is, as all splits' first ones are
                    places = self.images.place(alike), self.images.place(number)
                    raise differing(places, self._pixels[alike], image)
                self._pixels[number] = image
                self._known[number] = True
        return damaged


def from_files(images: Images) -> TypeGuard[Decoded | Subset]:
    """Whether images are decoded from files that may be damaged or unlike."""
    return isinstance(images, Decoded | Subset) and images.by_processes


def place_of(images: Images, number: int) -> str:
    """Where an image lies, for messages; "" of one that is no file."""
    if isinstance(images, Remembered):
        return place_of(images.images, number)
    return images.place(number) if from_files(images) else ""


def damaged_among(images: Images) -> list[Damaged]:
    """The images that can't be read; all are decoded for it, where they are decoded at all."""
    if isinstance(images, Remembered):
        return images.fill()
    if not from_files(images):
        return []
    chunks = torch.split(torch.arange(len(images)), CHUNK)
    return [one for chunk in chunks for one in images.attempt(chunk.tolist()) if isinstance(one, Damaged)]
