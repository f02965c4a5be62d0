"""Random splits that keep the share of every class. The same labels and seed give the same split."""

import torch
from torch import Tensor


def stratified(labels: Tensor, count: int, generator: torch.Generator, keep: int = 0) -> Tensor:
    """Draw `count` of the images, each class by its share (largest remainders get what rounding leaves).

    `labels` are int64 (N,), 0 or more. At least `keep` images of each class are not drawn, even where fewer
    than `count` come together then. Returns a mask of those drawn, bool (N,).

    >>> mask = stratified(torch.tensor([0, 0, 0, 0, 1, 1]), 3, torch.Generator().manual_seed(0))
    >>> mask[:4].sum().item(), mask[4:].sum().item()
    (2, 1)
    """
    amounts = labels.bincount()
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    take = _shares(amounts, min(count, len(labels)), (amounts - keep).clamp(min=0))
    starts = amounts.cumsum(0) - amounts
    which = labels[order]
    rank = torch.arange(len(labels)) - starts[which]
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[order[rank < take[which]]] = True
    return mask


def _shares(amounts: Tensor, count: int, most: Tensor) -> Tensor:
    """Split `count` in proportion to `amounts`, at most `most` each: int64."""
    total = int(amounts.sum())
    take = (amounts * count // total).minimum(most)
    remainder = (amounts * count - take * total) * (take < most)
    left = min(count - int(take.sum()), int((remainder > 0).sum()))
    take[remainder.argsort(descending=True, stable=True)[:left]] += 1
    return take
