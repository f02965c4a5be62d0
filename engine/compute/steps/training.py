"""`train` and `finetune`."""

from torch import nn

from engine.compute.context import Context
from engine.compute.training.loop import fit
from engine.params.training import Finetune, Train


def train(model: nn.Module, params: Train | Finetune, context: Context) -> nn.Module:
    """Train the model on the training split."""
    return fit(model, params, context)
