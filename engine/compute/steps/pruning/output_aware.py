"""Which weights of a layer its outputs can best do without, and what the others must be then.

The error is the quadratic form of `engine.compute.steps.calibration.output_error`. All filters go at once, in the shape
of its `best`: (groups of the convolution, filters, weights), float64.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.compute.context import Tell, untold
from engine.compute.steps.calibration.output_error import OutputError

Keep = Callable[[Tensor, float], Tensor]
"""From scores, larger being more important, and the share (0 to 1) of the way that is done, the mask of what stays."""

RISING, SETTLED = 15, 10
"""Rounds in which more and more goes, and with all gone, as in the source; the mask changes in hardly any after."""
CLOSE = 1e-6
"""Residual over the right-hand side at which a refit ends."""
MOST_ROUNDS = 500


def chosen(error: OutputError, keep: Keep, tell: Tell = untold) -> Tensor:
    """The mask of the weights to keep: in rounds, the largest by what their outputs weigh, the others making up.

    ADMM, the alternating direction method of multipliers (Boža 2024, "Fast and Effective Weight Update for Pruned
    Large Language Models", algorithms 1 and 2): weights are drawn to a sparse copy of themselves, from which round by
    round more goes; each weight is measured by the norm of its input.
    """
    norm = error.hessian.diagonal(dim1=1, dim2=2).sqrt()
    scaled = error.hessian / (norm[:, :, None] * norm[:, None, :])
    target = (error.best * norm[:, None, :]) @ scaled
    # One over the penalty and the curvature together; the penalty is 1, as large as every diagonal element.
    inverse = torch.linalg.inv(scaled + torch.eye(scaled.shape[1], dtype=scaled.dtype, device=scaled.device))
    weights = error.best * norm[:, None, :]
    dual = torch.zeros_like(weights)
    mask = torch.ones_like(weights, dtype=torch.bool)
    for number in range(1, RISING + SETTLED + 1):
        tell((number - 1) / (RISING + SETTLED))
        shifted = weights + dual
        # Fast at first, when there is much that hardly matters.
        mask = keep(shifted.abs(), min(number / RISING, 1.0) ** (1 / 3))
        sparse = torch.where(mask, shifted, 0.0)
        dual = shifted - sparse
        weights = (target + sparse - dual) @ inverse
    return mask


def refitted(error: OutputError, mask: Tensor, tell: Tell = untold) -> Tensor:
    """The weights of least error that are zero where `mask` is false.

    Conjugate gradients from the best weights of all, for each filter by itself, preconditioned by the hessian's
    diagonal (Saad 2003, "Iterative Methods for Sparse Linear Systems", algorithm 9.1, whose r, z and p are `residual`,
    `scaled` and `direction`).
    """
    diagonal = error.hessian.diagonal(dim1=1, dim2=2)[:, None, :]
    right_hand = torch.where(mask, error.best @ error.hessian, 0.0)
    weights = torch.where(mask, error.best, 0.0)
    residual = right_hand - torch.where(mask, weights @ error.hessian, 0.0)
    close = CLOSE * right_hand.norm(dim=-1, keepdim=True)
    scaled = residual / diagonal
    direction, product = scaled, (residual * scaled).sum(-1, keepdim=True)
    tiny = torch.finfo(weights.dtype).tiny
    for number in range(MOST_ROUNDS):
        tell(number / MOST_ROUNDS)
        if bool((residual.norm(dim=-1, keepdim=True) <= close).all()):
            break
        curved = torch.where(mask, direction @ error.hessian, 0.0)
        step = product / (direction * curved).sum(-1, keepdim=True).clamp_min(tiny)
        weights, residual = weights + step * direction, residual - step * curved
        scaled = residual / diagonal
        before, product = product, (residual * scaled).sum(-1, keepdim=True)
        direction = scaled + product / before.clamp_min(tiny) * direction
    return weights
