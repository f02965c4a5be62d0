"""Scores of a model on a split, by the measures of the data's task."""

import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.data import Dataset, Split
from engine.compute.tasks import Score, task_of
from engine.compute.tasks.classification import agreement


def score(model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
    """Run `model` in eval mode over the whole split; its training mode is restored afterwards."""
    return task_of(data).score(model, data, split, device)


def validate(model: nn.Module, context: Context) -> Score:
    """The model's score on the validation split, on which choices are made."""
    return score(model, context.data, context.data.validation, context.device)


__all__ = ["Score", "agreement", "score", "validate"]
