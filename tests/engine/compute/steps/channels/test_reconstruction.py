"""Layers whose inputs went are refitted to what they gave: most of what pruning loses comes back without training."""

import copy

from engine.compute.context import validate
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
