"""Sparsity learning: training with a penalty that makes unimportant channels small before they are removed."""

from torch import nn

from engine.compute.channels.budget import Budget
from engine.compute.channels.groups import Group
from engine.compute.context import Context
from engine.params.channels import NoLearning, PruneChannels


def learn(
    model: nn.Module, groups: list[Group], params: PruneChannels, context: Context, budget: Budget
) -> None:
    """Train with the penalty that `params.learning` asks for, if any."""
    if isinstance(params.learning, NoLearning):
        return
