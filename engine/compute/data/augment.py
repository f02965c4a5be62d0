"""Random changes to whole batches of images. All chance comes from the generator that is passed in."""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Shift each image of (B, C, H, W) by up to an eighth of its size, independently in y and x.

    What moves in from outside is black. For 32 pixels this is the padding by 4 and random crop of He 2016,
    section 4.2.
    """
    count, _, height, width = images.shape
    above, left = height // 8, width // 8
    padded = F.pad(images, (left, left, above, above))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    down = torch.randint(2 * above + 1, (count,), generator=generator).to(images.device)
    right = torch.randint(2 * left + 1, (count,), generator=generator).to(images.device)
    return windows[torch.arange(count, device=images.device), :, down, right]


def flip(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Mirror each image of (B, C, H, W) left to right with probability one half."""
    mirrored = torch.randint(2, (len(images),), generator=generator).bool().to(images.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
