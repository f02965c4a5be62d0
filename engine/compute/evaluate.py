"""Predictions and loss of a model on a split."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.context import Context
from engine.compute.data import Dataset, Split
from engine.compute.memory import halving_batch

BATCH = 500
"""Images per forward pass in evaluation; fixed, because it can change the last bits."""


@dataclass(frozen=True)
class Score:
    """`predictions`: class indices, int64 (N,); `accuracy`: top-1 in 0 … 1; `loss`: mean cross-entropy."""

    predictions: Tensor
    accuracy: float
    loss: float


def score(model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
    """Run `model` in eval mode over the whole split; its training mode is restored afterwards."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        outputs = halving_batch(lambda batch: _logits(model, data, split, device, batch), BATCH)
    model.train(was_training)
    predictions = outputs.argmax(1)
    loss = functional.cross_entropy(outputs.double(), split.labels)
    correct = int((predictions == split.labels).sum())
    return Score(predictions, correct / len(split.labels), float(loss))


def _logits(model: nn.Module, data: Dataset, split: Split, device: torch.device, batch: int) -> Tensor:
    parts = [model(images).float().cpu() for images, _ in data.batches(split, batch, device=device)]
    return torch.cat(parts)


def validate(model: nn.Module, context: Context) -> Score:
    """The model's score on the validation split, on which choices are made."""
    return score(model, context.data, context.data.validation, context.device)


def agreement(one: Tensor, two: Tensor) -> float:
    """Share of equal predictions, 0 … 1; both (N,).

    >>> agreement(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 0]))
    0.75
    """
    return int((one == two).sum()) / len(one)
