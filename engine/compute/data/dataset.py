"""A data set as the steps and measures see it: three splits of images, given out in normalized batches."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from engine.compute.data import on_gpu
from engine.compute.data.augment import Chance, crop, flip, mosaics
from engine.compute.data.images import Images
from engine.compute.data.pixels import Fit
from engine.compute.data.statistics import Statistics
from engine.compute.data.stream import streamed
from engine.datasets.records import Task

Augment = Literal["none", "crop", "crop-flip"]


@dataclass(frozen=True)
class Split:
    """Images with what is to be found in them, image by image.

    For classification, labels are int64 (N,) in [0, classes). For detection they are boxes, float32 (N, M, 5):
    class, centre x and y, width, height, as fractions of the image; M is the most that any image has, and a row
    of class −1 is no box.
    """

    images: Images
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def spread(self, count: int) -> Tensor:
        """The indices of so many images, or of all where there are fewer, evenly chosen: int64."""
        return torch.linspace(0, len(self) - 1, min(count, len(self))).long()


@dataclass(frozen=True)
class Dataset:
    """Three splits that share no image.

    `size` is (height, width). `mean` and `std` are float32 (C,), in units where 0 is black and 1 is white, by default
    of the training split; detectors see those units themselves (mean 0, deviation 1), as published ones do. `black`
    and `white` are the stored values of these: 0 and 255 of 8 bits. `fit` is how images came to their shape.
    `notice` is worth telling with any score on these splits, `notices` is what was found unusual in reading them.
    """

    name: str
    class_names: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    mean: Tensor
    std: Tensor
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    task: Task = "classification"
    notice: str = ""
    black: float = 0.0
    white: float = 255.0
    fit: Fit = field(default_factory=Fit)
    notices: tuple[str, ...] = ()
    left_out: int = 0
    """Images that can't be read and are in no split."""
    drawn: tuple[str, ...] = ()
    """Of `validation` and `test`, those that the set does not bring: they were drawn from its training images."""
    eight_bits: bool = True
    """Whether pixels are uint8; else they are float32, as stored."""
    from_files: bool = False
    """Whether every image is a file of its own, which Pillow opens."""
    values: Statistics | None = None
    """Of the training images, as stored, where they were looked at."""
    workers: int | None = None
    """Processes that decode what does not fit into memory; None: as many as torch has threads."""

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def batches(
        self,
        split: Split,
        batch: int,
        *,
        order: Tensor | None = None,
        augment: Augment = "none",
        mosaic: float = 0.0,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        channels_last: bool = True,
        share: Callable[[int], slice] | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalized images, float32 (B, C, H, W), and labels, int64 (B,) or boxes (B, M, 5), on `device`.

        `order` is the sequence of image numbers, by default as stored; the last batch may be smaller. All
        chance of `augment` comes from `generator`, a CPU generator: equal generators give equal batches, on
        every device. `mosaic` is the share of images put together from four of their batch, for data with boxes.
        `channels_last` is the memory layout. `share` says which images of so many are given out, as
        they are in the whole batch; all by default.
        """
        order = torch.arange(len(split)) if order is None else order.cpu()
        device, whole = torch.device(device), torch.split(order, batch)
        owns = [share(len(part)) if share else slice(None) for part in whole]
        # Each process puts its images together from those of all.
        parts = whole if mosaic else tuple(part[own] for part, own in zip(whole, owns, strict=True))
        gathered = self._gathered(split.images, parts, device)
        for all_of_it, own, index, pixels in zip(whole, owns, parts, gathered, strict=True):
            labels = split.labels[index]
            boxes = labels if self.task == "detection" else None
            chance = Chance(generator, len(all_of_it), own)
            if mosaic:
                assert boxes is not None, "presets with a mosaic of images without boxes are refused"
                pixels, boxes = mosaics(pixels, boxes, chance, mosaic)
            if augment != "none":
                pixels, boxes = crop(pixels, boxes, chance)
            if augment == "crop-flip":
                pixels, boxes = flip(pixels, boxes, chance)
            labels = (labels if boxes is None else boxes).to(device, non_blocking=True)
            yield self.normalize(pixels, channels_last), labels

    def _gathered(self, images: Images, parts: tuple[Tensor, ...], device: torch.device) -> Iterator[Tensor]:
        """The images of each part in turn, on the device."""
        held = on_gpu.gathered(images, parts, device)
        if held is not None:
            return held
        decoded = self._decoded(images, parts, device)
        return decoded if device.type == "cpu" else on_gpu.ahead(decoded, device)

    def _decoded(self, images: Images, parts: tuple[Tensor, ...], device: torch.device) -> Iterator[Tensor]:
        """The images of each part in turn; where they must be decoded, ahead of their use."""
        workers = torch.get_num_threads() if self.workers is None else self.workers
        if not images.slow or not parts:
            return (images.gather(part) for part in parts)
        if images.by_processes and workers and len(parts) > 1:
            return streamed(images, parts, min(workers, len(parts)), device.type == "cuda")
        return _one_ahead(images, parts)

    def normalize(self, pixels: Tensor, channels_last: bool = True) -> Tensor:
        """Pixels as stored, (B, C, H, W), to float32: black to 0 and white to 1, less `mean` and over `std`."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        scale, shift = (
            part.to(pixels.device, non_blocking=True).view(1, -1, 1, 1) for part in self.scale_and_shift()
        )
        return pixels.to(torch.float32, memory_format=layout, copy=True).mul_(scale).sub_(shift)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What stored values are multiplied by, and what is then subtracted: float32 (C,)."""
        span = self.white - self.black
        return 1 / (span * self.std), (self.mean + self.black / span) / self.std


def _one_ahead(images: Images, parts: tuple[Tensor, ...]) -> Iterator[Tensor]:
    with ThreadPoolExecutor(1, thread_name_prefix="decode-ahead") as ahead:
        upcoming = ahead.submit(images.gather, parts[0])
        for following in parts[1:]:
            pixels = upcoming.result()
            upcoming = ahead.submit(images.gather, following)
            yield pixels
        yield upcoming.result()
