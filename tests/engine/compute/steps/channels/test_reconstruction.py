"""Layers whose inputs went are refitted to what they gave: most of what pruning loses comes back without training."""

import copy

import torch
from torch import Tensor, nn

from engine.compute.context import validate
from engine.compute.models.architecture import Architecture, attached
from engine.compute.steps.channels.step import prune_channels
from engine.compute.training.loop import fit
from engine.params.channels import PruneChannels
from engine.params.training import Finetune
from tests.engine.compute.compute_help import context_for, small_model


def test_repair_brings_back_most_of_what_pruning_loses() -> None:
    model = fit(small_model(), Finetune(epochs=6, learning_rate=0.1, batch=64), context_for())
    losses = {}
    for repair in (False, True):
        params = PruneChannels(ratio=0.4, repair=repair)
        losses[repair] = validate(
            prune_channels(copy.deepcopy(model), params, context_for()), context_for()
        ).loss
    whole = validate(model, context_for()).loss
    assert losses[True] - whole < 0.5 * (losses[False] - whole)


def test_statistics_are_estimated_anew_only_where_layers_were_not_refitted() -> None:
    """Refitted outputs fit the variances that were there; a frozen layer's do not."""
    model = fit(small_model(), Finetune(epochs=2, learning_rate=0.1, batch=64), context_for())
    before = dict(model.named_buffers())

    def variances_stay(repair: bool, *, freeze: str = "") -> bool:
        own = copy.deepcopy(model)
        if freeze:
            own.get_submodule(freeze).weight.requires_grad_(False)
        params = PruneChannels(ratio=0.4, criterion="l2", scope="local", repair=repair)
        pruned = prune_channels(own, params, context_for())
        kept = [
            bool(torch.isin(tensor, before[name]).all())
            for name, tensor in pruned.named_buffers()
            if name.endswith("running_var")
        ]
        assert all(kept) or not any(kept)
        return all(kept)

    assert variances_stay(repair=True)
    assert not variances_stay(repair=False)
    assert not variances_stay(repair=True, freeze="layer2.0.conv2")


class Looped(nn.Module):
    """A pair of layers that is called again and again, and no other that could be narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide, self.narrow = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(2):
            x = x + self.narrow(torch.relu(self.wide(x)))
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


def test_layers_that_are_called_again_and_again_lose_channels_and_are_not_refitted() -> None:
    torch.manual_seed(0)
    model = attached(Looped(), Architecture("mine.py:looped", 1, 10, (8, 8)))
    pruned = prune_channels(model, PruneChannels(ratio=0.5, skip=("stem",)), context_for())
    assert pruned.get_parameter("narrow.weight").shape[1] < 16
