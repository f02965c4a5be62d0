"""Random changes to whole batches of images. All chance comes from the generator that is passed in."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

VISIBLE = 0.25
"""Share of its area that must stay inside the image for an object to count; less shows too little of it."""
SHARES = 1 << 16
"""Whole numbers among which a share of images is drawn."""


@dataclass(frozen=True)
class Chance:
    """What `images` of a batch draw, of which this process has those of `own`.

    Drawn for all of them, so that processes which share a batch change its images as one of them would.
    """

    generator: torch.Generator | None
    images: int
    own: slice = field(default_factory=lambda: slice(None))

    def below(self, bound: int) -> Tensor:
        """A whole number from 0 to below `bound` for each image of ours, on the CPU."""
        return torch.randint(bound, (self.images,), generator=self.generator)[self.own]


def crop(images: Tensor, boxes: Tensor | None, chance: Chance) -> tuple[Tensor, Tensor | None]:
    """Shift each image of (B, C, H, W) by up to an eighth of its size, independently in y and x.

    What moves in from outside is black. For 32 pixels this is the padding by 4 and random crop of He 2016,
    section 4.2. The boxes (B, M, 5) of `Dataset.batches`, if any, move with their image and are cut off at its edges.
    """
    count, _, height, width = images.shape
    above, left = height // 8, width // 8
    padded = F.pad(images, (left, left, above, above))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down, right = chance.below(2 * above + 1), chance.below(2 * left + 1)
    shifted = windows[torch.arange(count, device=images.device), :, _sent(down, images), _sent(right, images)]
    if boxes is not None:
        # A window further down shows what lies further down: the image, and its boxes, move up.
        moved = torch.stack([(left - right) / width, (above - down) / height], 1)
        boxes = _moved(boxes, moved.to(boxes))
    return shifted, boxes


def _sent(drawn: Tensor, images: Tensor) -> Tensor:
    """Few numbers from the CPU to where the images are, without waiting for a GPU to have done what it has to do."""
    return drawn.to(images.device, non_blocking=True)


def _moved(boxes: Tensor, by: Tensor) -> Tensor:
    """Boxes (B, M, 5) moved by (B, 2) of x and y and cut off at the edges; class −1 where too little is left."""
    centre, size = boxes[..., 1:3] + by.unsqueeze(1), boxes[..., 3:5]
    low, high = (centre - size / 2).clamp(0, 1), (centre + size / 2).clamp(0, 1)
    left = (high - low).prod(2)
    kept = (boxes[..., 0] >= 0) & (left > 0) & (left >= VISIBLE * size.prod(2))
    moved = torch.cat([boxes[..., :1], (low + high) / 2, high - low], 2)
    return torch.where(kept.unsqueeze(2), moved, _absent(moved))


def _absent(boxes: Tensor) -> Tensor:
    empty = torch.zeros_like(boxes)
    empty[..., 0] = -1
    return empty


def flip(images: Tensor, boxes: Tensor | None, chance: Chance) -> tuple[Tensor, Tensor | None]:
    """Mirror each image of (B, C, H, W), and its boxes (B, M, 5) if any, left to right with probability one half."""
    mirrored = chance.below(2).bool()
    if boxes is not None:
        there = mirrored.to(boxes.device).unsqueeze(1) & (boxes[..., 0] >= 0)
        boxes = boxes.clone()
        boxes[..., 1] = torch.where(there, 1 - boxes[..., 1], boxes[..., 1])
    return torch.where(_sent(mirrored, images).view(-1, 1, 1, 1), images.flip(3), images), boxes


def mosaics(images: Tensor, boxes: Tensor, chance: Chance, share: float) -> tuple[Tensor, Tensor]:
    """Of each own image of the whole batch (B, C, H, W), and its boxes (B, M, 5), a mosaic: (b, C, H, W), (b, 4M, 5).

    Four images of the batch, this one and three drawn, meet with a corner each at a random point, where each is cut off
    by the edges: what YOLOv4 to YOLO11 train on, without their scaling. `share` of the images are; others stay.
    """
    count, _, height, width = images.shape
    own = torch.arange(count)[chance.own]
    shown = torch.stack([own, *(chance.below(count) for _ in range(3))], 1)
    y, x = chance.below(height + 1), chance.below(width + 1)
    kept = chance.below(SHARES) >= round(share * SHARES)
    # An image that stays is the upper left one with the point in the lower right corner.
    y, x = y.masked_fill(kept, height), x.masked_fill(kept, width)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    far_y, far_x, numbers = (_sent(part, images) for part in (y[:, None], x[:, None], shown))
    quarter = 2 * (rows >= far_y).long()[:, :, None] + (columns >= far_x).long()[:, None, :]  # (b, H, W)
    which = numbers.gather(1, quarter.flatten(1)).view_as(quarter)
    # Upper images end at the point, lower ones begin there.
    from_row, from_column = (rows - far_y) % height, (columns - far_x) % width
    pixels = images.permute(0, 2, 3, 1)[which, from_row[:, :, None], from_column[:, None, :]]  # (b, H, W, C)
    down, along = y.to(boxes) / height, x.to(boxes) / width
    moves = ((along - 1, down - 1), (along, down - 1), (along - 1, down), (along, down))
    found = [_moved(boxes[shown[:, number]], torch.stack(move, 1)) for number, move in enumerate(moves)]
    return pixels.permute(0, 3, 1, 2), torch.cat(found, 1)
