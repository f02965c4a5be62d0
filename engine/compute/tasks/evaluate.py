"""Scores of a model on a split, by the measures of the data's task."""

import torch
from torch import nn

from engine.compute.data import Dataset, Split
from engine.compute.tasks import Score, task_of


def score(model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
    """Run `model` in eval mode over the whole split; its training mode is restored afterwards."""
    return task_of(data).score(model, data, split, device)
