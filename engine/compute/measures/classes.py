"""What one accuracy hides: how each class does, what it is taken for, and how far confidence can be believed."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

TOP = 5
"""How many of the most likely classes count as a hit, as on ImageNet."""
BEYOND = 2.0
"""Standard deviations beyond what chance gives on average: chance is beyond it once in forty times."""
BINS = 15
"""Bins of confidence, as Guo et al. (2017) take."""


def beside_accuracy(outputs: Tensor, labels: Tensor) -> dict[str, float]:
    """The measures beside top-1 accuracy, 0 … 1 each; `outputs` are logits (N, K), `labels` int64 (N,).

    `top5` only where there are more than five classes.
    """
    classes = outputs.shape[1]
    accuracies = class_accuracies(confusion(outputs.argmax(1), labels, classes))
    present = accuracies[~accuracies.isnan()]
    measures = {
        "balanced_accuracy": float(present.mean()),
        "worst_class": float(present.min()),
        "calibration_error": calibration_error(outputs, labels),
    }
    return measures | ({"top5": top_accuracy(outputs, labels, TOP)} if classes > TOP else {})


def guessed(predictions: Tensor, labels: Tensor) -> bool:
    """Whether predictions tell nothing of labels, int64 (N,) both: no more are right than if they were dealt out anew.

    Dealt out at random, on average Σ n·m / N are right, of n images of a class and m predictions of it; the deviation
    is that of a sum over a random permutation (Hoeffding 1951). Up to `BEYOND` deviations more count for nothing.

    >>> guessed(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])), guessed(torch.arange(9), torch.arange(9))
    (True, False)
    """
    count, classes = len(labels), int(max(labels.max(), predictions.max())) + 1
    of = torch.bincount(labels, minlength=classes).double()
    taken = torch.bincount(predictions, minlength=classes).double()
    expected = float(of @ taken) / count
    off = torch.eye(classes, dtype=torch.float64) - (taken[:, None] + of) / count + expected / count
    deviation = math.sqrt(float(of @ off.square() @ taken) / max(1, count - 1))
    return int((predictions == labels).sum()) - expected <= BEYOND * deviation


def confusion(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How many images of each true class (row) were taken for which (column): int64 (K, K).

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return torch.bincount(labels * classes + predictions, minlength=classes * classes).view(classes, classes)


def class_accuracies(table: Tensor) -> Tensor:
    """The recall of each class, float64 (K,); NaN for a class without images.

    >>> class_accuracies(torch.tensor([[1, 1], [0, 0]])).tolist()
    [0.5, nan]
    """
    return table.diagonal().double() / table.sum(1).double()


def top_accuracy(outputs: Tensor, labels: Tensor, most: int) -> float:
    """Share of images whose class is among the `most` likely ones."""
    return float((outputs.topk(most, dim=1).indices == labels.unsqueeze(1)).any(1).double().mean())


def calibration_error(outputs: Tensor, labels: Tensor) -> float:
    """Expected calibration error: |accuracy − confidence| in bins of equal width, weighted by their images (Guo et
    al. 2017, equation 3).

    >>> round(calibration_error(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])), 3)
    0.0
    """
    confidence, predictions = outputs.double().softmax(1).max(1)
    right = (predictions == labels).double()
    # Bins are open below and closed above; a confidence is above 0.
    bins = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, right - confidence)
    return float(gaps.abs().sum() / len(labels))


def as_dict(predictions: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Of each class its name, its images and how many were right; `confused` has rows of true class, predicted class
    and images, those that are 0 left out: a thousand classes have few others."""
    table = confusion(predictions, labels, len(names))
    wrong = table.clone().fill_diagonal_(0)
    places = wrong.nonzero().tolist()
    return {
        "names": list(names),
        "images": table.sum(1).tolist(),
        "correct": table.diagonal().tolist(),
        "confused": [[true, taken, int(wrong[true, taken])] for true, taken in places],
    }
