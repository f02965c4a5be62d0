"""`sensitivity`: what it costs to prune each layer alone."""

from torch import nn

from engine.compute.context import Context
from engine.params.analysis import Sensitivity


def sensitivity(model: nn.Module, params: Sensitivity, context: Context) -> nn.Module:
    """Score the model with one layer pruned at a time; the model is left as it was."""
    raise NotImplementedError
