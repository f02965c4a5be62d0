"""One class per image: cross-entropy, top-1 accuracy, and what that hides."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.data import Dataset, Split
from engine.compute.layers.pieces import at_once
from engine.compute.measures.classes import beside_accuracy
from engine.compute.memory import halving_batch
from engine.compute.tasks.base import Outputs, Reduction, Score
from engine.compute.tasks.output import main_output, relative_square

BATCH = 500
"""Most images per forward pass in evaluation."""


class Classification:
    """Images with labels, int64 (N,)."""

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        return functional.cross_entropy(
            main_output(model(images)).float(), targets, label_smoothing=label_smoothing, reduction=reduction
        )

    def score(self, model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            most = at_once(model, (data.channels, *data.size), BATCH)
            outputs = halving_batch(lambda batch: _logits(model, data, split, device, batch), most)
        model.train(was_training)
        predictions = outputs.argmax(1)
        loss = functional.cross_entropy(outputs.double(), split.labels)
        accuracy = int((predictions == split.labels).sum()) / len(split.labels)
        beside = beside_accuracy(outputs, split.labels)
        return Score(predictions, accuracy, float(loss), {"accuracy": accuracy}, beside)

    def deviation(self, outputs: Outputs) -> float:
        """Mean square of the difference over the variance of the logits, (N, classes) of each batch."""
        expected, given = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        return relative_square(expected, given)

    def agreement(self, one: Tensor, two: Tensor) -> float | None:
        return agreement(one, two)


def _logits(model: nn.Module, data: Dataset, split: Split, device: torch.device, batch: int) -> Tensor:
    parts = [model(images).float().cpu() for images, _ in data.batches(split, batch, device=device)]
    return torch.cat(parts)


def agreement(one: Tensor, two: Tensor) -> float:
    """Share of equal predictions, 0 … 1; both (N,).

    >>> agreement(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 0]))
    0.75
    """
    return int((one == two).sum()) / len(one)
