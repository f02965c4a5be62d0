"""Operators, and whether one gives the same bits wherever what it is given lies.

`python -m tests.engine.compute.models.places` asks all of them and ends with what differs: it imports little beside
torch, because that takes seconds on an emulated processor (tests/test_processors.py).
"""

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import engine.compute  # noqa: F401  what computes here is set up as in every process of ours

LINE = 16
"""Floats in a cache line."""

Case = tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]
CASES: dict[str, Case] = {
    "linear, one image": (F.linear, ((1, 64), (10, 64), (10,))),
    "linear, eight images": (F.linear, ((8, 64), (10, 64), (10,))),
    "linear of odd sizes": (F.linear, ((3, 37), (7, 37))),
    "linear of tokens": (F.linear, ((2, 5, 48), (33, 48), (33,))),
    "product of matrices": (torch.mm, ((17, 65), (65, 19))),
    "product of many": (torch.bmm, ((2, 7, 33), (2, 33, 9))),
    "convolution 1×1": (F.conv2d, ((1, 8, 8, 8), (16, 8, 1, 1))),
    "convolution 3×3": (F.conv2d, ((1, 8, 8, 8), (16, 8, 3, 3), (16,))),
    "depthwise convolution": (lambda x, w: F.conv2d(x, w, groups=8), ((2, 8, 9, 9), (8, 1, 3, 3))),
    "attention": (F.scaled_dot_product_attention, ((1, 2, 9, 16),) * 3),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (37,), w, b), ((3, 37), (37,), (37,))),
    "batch norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), ((4, 8, 5, 5), (8,), (8,))),
    "softmax": (lambda x: F.softmax(x, -1), ((3, 197),)),
    "mean": (lambda x: x.mean((2, 3)), ((2, 8, 7, 7),)),
    "sum": (torch.sum, ((1001,),)),
    "GELU": (F.gelu, ((1001,),)),
}
"""What is computed, and the shapes of what it is given."""


def at(values: Tensor, offset: int) -> Tensor:
    """The same values, `offset` floats behind the beginning of a cache line."""
    room = torch.empty(values.numel() + 2 * LINE)
    start = -(room.data_ptr() // values.element_size()) % LINE + offset
    return room[start : start + values.numel()].view(values.shape).copy_(values)


def differing(name: str) -> list[tuple[int, int]]:
    """Which argument of an operator gives other bits at which offset."""
    operator, shapes = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = [torch.randn(shape) for shape in shapes]
    expected = operator(*(at(value, 0) for value in given))
    return [
        (argument, offset)
        for argument in range(len(given))
        for offset in range(LINE)
        if not torch.equal(
            operator(*(at(value, offset * (argument == i)) for i, value in enumerate(given))), expected
        )
    ]


if __name__ == "__main__":
    if differ := {name: found for name in CASES if (found := differing(name))}:
        sys.exit(f"arguments and offsets: {differ}")
