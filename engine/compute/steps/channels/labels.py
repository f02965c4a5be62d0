"""Label tensors: which channel every element of an activation belongs to.

They have the activation's shape and are expanded (stride 0) along dimensions that the label does not depend on, so that
they take little memory.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

import torch
from torch import Tensor


def constant(labels: Tensor) -> Tensor:
    """`labels` with size 1 along the dimensions that they do not depend on."""
    for dim, stride in enumerate(labels.stride()):
        if stride == 0 and labels.shape[dim] > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def compress(labels: Tensor) -> Tensor:
    """The same labels, expanded along every dimension that they do not depend on."""
    shape = labels.shape
    small = constant(labels)
    for dim in range(small.ndim):
        if small.shape[dim] > 1:
            first = small.narrow(dim, 0, 1)
            if torch.equal(small, first.expand(small.shape)):
                small = first
    return small.expand(shape)


def broadcast(vector: Tensor, dim: int, shape: torch.Size) -> Tensor:
    """Labels of `shape` that are `vector` along `dim`."""
    view = [1] * len(shape)
    view[dim] = len(vector)
    return vector.view(view).expand(shape)


def labels_along(labels: Tensor, dim: int, batch: bool = False) -> Tensor | None:
    """The labels along `dim` (size,); None if they vary along another dimension as well.

    With `batch` they may vary along all but the last two dimensions too, and must vary along `dim`.
    """
    small = constant(labels)
    dim %= small.ndim
    others = range(small.ndim - 2, small.ndim) if batch else range(small.ndim)
    if any(small.shape[d] > 1 for d in others if d != dim):
        return None
    if batch:
        return small if small.shape[dim] > 1 else None
    return small.flatten().expand(labels.shape[dim])


def linked_by_view(before: torch.Size, after: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The ties that a view brings which splits channels in equal parts, such as attention's heads.

    The same offset in each part goes together, or the parts would not stay equal. `after` has the new shape.
    """
    for dims in _splits(before, after.shape):
        small = constant(after)
        varying = [d for d in dims if small.shape[d] > 1]
        # The last of the parts' dimensions is the offset within a part; along the others equal offsets are tied.
        for dim in varying[:-1]:
            yield small, small.narrow(dim, 0, 1)


def _splits(before: torch.Size, after: torch.Size) -> Iterator[list[int]]:
    """The dimensions of `after` that one dimension of `before` is split into, for each that is."""
    old = [n for n in before if n > 1]
    new = [(d, n) for d, n in enumerate(after) if n > 1]
    while old and new:
        size, olds, dims = old.pop(0), 1, [new.pop(0)]
        made = dims[0][1]
        # Both shapes are walked from the left until a product of old sizes equals one of new sizes: (64,) becomes
        # (8, 8), or (2, 3, 4) becomes (6, 4). Only a single old dimension that became several was split.
        while size != made:
            if size < made and old:
                size *= old.pop(0)
                olds += 1
            elif new:
                dims.append(new.pop(0))
                made *= dims[-1][1]
            else:
                return
        if olds == 1 and len(dims) > 1:
            yield [d for d, _ in dims]


def concat(
    labels: list[Tensor | None], shapes: list[torch.Size], dim: int
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The labels of a concatenation along `dim` and the ties that it brings.

    Pieces without labels count as fixed. Along a dimension that no label depends on, the pieces' channels go together.
    """
    small = [
        constant(label) if label is not None else torch.zeros([1] * len(shapes[0]), dtype=torch.long)
        for label in labels
    ]
    sizes = torch.broadcast_shapes(*([*s[:dim], 1, *s[dim + 1 :]] for s in (piece.shape for piece in small)))  # type: ignore[no-untyped-call]
    if all(piece.shape[dim] == 1 for piece in small) and any(n > 1 for n in sizes):
        ties = list(pairwise(small))
        best = next(piece for piece, label in zip(small, labels, strict=True) if label is not None)
        return best.expand(sizes), ties
    full = [
        piece.expand(*sizes[:dim], shape[dim], *sizes[dim + 1 :])
        for piece, shape in zip(small, shapes, strict=True)
    ]
    return torch.cat(full, dim), []


def keeps(small: Tensor, shape: torch.Size) -> bool:
    """Whether the dimensions that labels vary along have the same size in `shape`."""
    return small.ndim == len(shape) and all(n in (1, m) for n, m in zip(small.shape, shape, strict=True))


def spread(shape: torch.Size, wide: Sequence[int]) -> bool:
    """Whether a tensor of `shape` is repeated along a dimension of `wide` (right-aligned) that is larger than 1."""
    pairs = zip_longest(reversed(shape), reversed(wide), fillvalue=1)
    return any(own == 1 and other > 1 for own, other in pairs)


def meets(shape: torch.Size, labels: torch.Size) -> bool:
    """Whether a tensor of `shape` has a size of its own where the labels (right-aligned) vary."""
    pairs = zip(reversed(shape), reversed(labels), strict=False)
    return any(own > 1 and label > 1 for own, label in pairs)
