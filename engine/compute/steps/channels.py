"""`prune.channels`: whole channels removed, with everything coupled to them."""

from torch import nn

from engine.compute.context import Context
from engine.params.channels import PruneChannels


def prune_channels(model: nn.Module, params: PruneChannels, context: Context) -> nn.Module:
    """Remove channels until the targets are reached."""
    raise NotImplementedError
