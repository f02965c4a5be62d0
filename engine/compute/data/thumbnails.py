"""Small pictures of a data set's images, for terminals."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.compute.data.dataset import Dataset
from engine.compute.numerics.aligned import to_array

LARGEST = 32
"""Pixels in height and width."""
COLOURS = 3


def thumbnails(data: Dataset, count: int) -> list[dict[str, Any]]:
    """Up to `count` training images, evenly chosen over the classes, as plain JSON values.

    Each: `label`, `width`, `height`, and `rgb`, bytes in hexadecimal, row by row.
    """
    split = data.train
    order = split.labels.argsort(stable=True) if split.labels.ndim == 1 else torch.arange(len(split))
    index = order[torch.linspace(0, len(order) - 1, min(count, len(order))).long()]
    drawn = []
    for number, image in zip(index.tolist(), split.images.gather(index), strict=True):
        small = _small(_bytes(image, data))
        drawn.append(
            {
                "label": _label(data, split.labels[number]),
                "width": small.shape[2],
                "height": small.shape[1],
                "rgb": to_array(small.permute(1, 2, 0)).tobytes().hex(),
            }
        )
    return drawn


def _label(data: Dataset, label: Tensor) -> str:
    if label.ndim == 0:
        return data.class_names[int(label)]
    classes = label[label[:, 0] >= 0, 0].int().tolist()
    return ", ".join(data.class_names[number] for number in dict.fromkeys(classes)) or "no box"


def _bytes(image: Tensor, data: Dataset) -> Tensor:
    """An image (C, H, W) as float (3, H, W) of 0 to 255; of many channels the first three."""
    scaled = (image.float() - data.black) / (data.white - data.black) * 255
    return scaled[:COLOURS] if len(scaled) >= COLOURS else scaled[:1].expand(COLOURS, -1, -1)


def _small(image: Tensor) -> Tensor:
    height, width = image.shape[1:]
    scale = min(1.0, LARGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size != (height, width):
        image = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return image.round().clamp(0, 255).to(torch.uint8)
