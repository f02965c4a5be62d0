"""From a name such as `yolov8n` to a detector."""

from torch import nn

from engine.compute.yolo.library import library
from engine.errors import SecateurError

STRIDE = 32
"""Pixels of the image per cell of the coarsest feature map; a YOLO network takes multiples of it."""


def detector(name: str, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
    """The network with random weights: in eval mode (N, channels, H, W) → (N, 4 + classes, anchors).

    The output is decoded: centre, width and height in pixels, and each class's score from 0 to 1. Raises
    SecateurError without ultralytics, and for images that it cannot take.
    """
    if size[0] % STRIDE or size[1] % STRIDE:
        near = max(STRIDE, round(max(size) / STRIDE) * STRIDE)
        raise SecateurError(
            f"YOLO can't take images of {size[1]}×{size[0]} pixels",
            f"Both must be multiples of {STRIDE}, its coarsest stride.",
            f"Set data.size, to {near} for example.",
        )
    model: nn.Module = library().network(name, channels, classes)
    return model
