"""What training and measuring need to know of a task, and nothing else of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from engine.compute.data import Dataset, Split

Reduction = Literal["mean", "sum"]
Outputs = Iterable[tuple[Tensor, Tensor]]
"""Of each batch of images what a network gives, and what is compared with it: (N, …) both."""


@dataclass(frozen=True)
class Score:
    """How well a model does on a split.

    Attributes:
        predictions: What it predicted, to compare and to keep. Classification: class indices, int64 (N,).
            Detection: float32 (K, 7): image number, corners in pixels, confidence, class.
        quality: What choices are made by, 0 … 1: top-1 accuracy, or mAP50-95.
        loss: Mean loss per image; None of a file whose outputs do not tell it, as decoded boxes do not.
        measures: The field's measures by name, 0 … 1: `accuracy`, or `map50` and `map50_95`.
        beside: What a final score tells besides, 0 … 1 by name: of classifiers, what one accuracy hides.
    """

    predictions: Tensor
    quality: float
    loss: float | None
    measures: dict[str, float]
    beside: dict[str, float] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy; only a classifier has one."""
        return self.measures["accuracy"]

    @property
    def known_loss(self) -> float:
        """The loss of a network in torch, which always has one."""
        assert self.loss is not None
        return self.loss


class Task(Protocol):
    """One kind of data and network."""

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """The loss of a batch, its mean or sum over images, with its graph; the model's mode stays as it is."""

    def score(self, model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
        """Run `model` in eval mode over the whole split; its training mode is restored afterwards."""

    def deviation(self, outputs: Outputs) -> float:
        """How far a compressed network's outputs for some images are from those of the network it was, relative to how
        much these differ from image to image: 0 for equal ones, 1 for outputs that tell nothing."""

    def agreement(self, one: Tensor, two: Tensor) -> float | None:
        """Share of equal predictions of two models, 0 … 1; None where the task has no such measure."""
