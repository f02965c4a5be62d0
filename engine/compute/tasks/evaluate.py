"""Scores of a model on a split, by the measures of the data's task, and what it gives for its images."""

import torch
from torch import Tensor, nn

from engine.compute.data import Dataset, Split
from engine.compute.layers.pieces import at_once
from engine.compute.memory import halving_batch
from engine.compute.tasks import Score, task_of
from engine.compute.tasks.output import main_output

BATCH = 256
"""Most images per forward pass of which all outputs are kept."""


def score(model: nn.Module, data: Dataset, split: Split, device: torch.device) -> Score:
    """Run `model` in eval mode over the whole split; its training mode is restored afterwards."""
    return task_of(data).score(model, data, split, device)


def outputs(model: nn.Module, data: Dataset, split: Split, images: Tensor, device: torch.device) -> Tensor:
    """What `model` gives in eval mode for some images (their numbers) of the split, float32 (N, …) on the processor:
    logits, or decoded boxes with their scores. Its training mode is restored afterwards."""

    def run(batch: int) -> Tensor:
        each = data.batches(split, batch, order=images, device=device)
        return torch.cat([main_output(model(shown)).float().cpu() for shown, _ in each])

    was_training = model.training
    model.eval()
    with torch.inference_mode():
        given = halving_batch(run, at_once(model, (data.channels, *data.size), BATCH))
    model.train(was_training)
    return given
