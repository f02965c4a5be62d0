"""Pruning in rounds, with training between them."""

import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.training.loop import fit
from engine.params.pruning import Rounds
from engine.params.training import Finetune


def recover(model: nn.Module, schedule: Rounds, context: Context, number: int) -> None:
    """Train after round `number` of a schedule; its state is kept, so that an interrupted step goes on there."""
    if schedule.epochs:
        between = Finetune(epochs=schedule.epochs, learning_rate=schedule.learning_rate)
        fit(model, between, context, f"round-{number}", keep_last=True)


def keep_largest(scores: Tensor, sparsity: float) -> Tensor:
    """Mask that is false for the `round(sparsity · n)` smallest scores; of equal ones the first go first."""
    flat = scores.flatten()
    mask = torch.ones_like(flat, dtype=torch.bool)
    mask[torch.argsort(flat, stable=True)[: round(sparsity * flat.numel())]] = False
    return mask.view_as(scores)
