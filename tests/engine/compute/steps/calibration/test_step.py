"""Least squares after pruning: what is left of the network does what the whole one did, as nearly as it can."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine import datasets
from engine.compute.context import validate
from engine.compute.data import load
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.training import train
from engine.params import PruneChannels, Train
from engine.params.preset import Data
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import own


def pruned(model: nn.Module, *, repair: bool, **values: object) -> nn.Module:
    params = {"criterion": "l2", "speedup": 2, "calibrate": False, "repair": repair, **values}
    return prune_channels(model, PruneChannels.model_validate(params), context_for()).eval()


@cache
def _trained() -> nn.Module:
    return train(small_model(), Train(epochs=3, batch=32, learning_rate=0.1), context_for()).eval()


def trained() -> nn.Module:
    """A copy for each test: pruning changes it."""
    return copy.deepcopy(_trained())


def outputs(model: nn.Module) -> Tensor:
    """On images of the test split, none of which is used for refitting."""
    context = context_for()
    images, _ = next(iter(context.data.batches(context.data.test, 64)))
    with torch.no_grad():
        result: Tensor = model(images)
    return result


def test_the_output_on_unseen_images_is_nearer_to_the_whole_networks() -> None:
    whole = outputs(trained())
    errors = {
        repair: float((outputs(pruned(trained(), repair=repair)) - whole).square().mean())
        for repair in (False, True)
    }
    assert errors[True] < errors[False] / 2


def test_the_same_channels_go_with_and_without() -> None:
    one, two = (pruned(trained(), repair=repair) for repair in (False, True))
    assert {n: p.shape for n, p in one.named_parameters()} == {n: p.shape for n, p in two.named_parameters()}


def test_it_repeats_to_the_last_bit() -> None:
    one, two = (pruned(trained(), repair=True).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_after_many_rounds_it_still_knows_what_the_channels_did() -> None:
    """Rounds without training are repaired once, against the network before all of them."""
    rounds = {"kind": "linear", "rounds": 5, "epochs": 0}
    context = context_for()
    accuracies = {
        repair: validate(pruned(trained(), repair=repair, schedule=rounds, speedup=3), context).accuracy
        for repair in (False, True)
    }
    assert accuracies[True] > accuracies[False]


def test_attentions_own_projections_are_refitted_too() -> None:
    """What they give, of fewer channels, comes nearer to what it was, and so does the network's answer."""
    params = Data(name="digits", limit=300, size=networks.SIZE, channels=3)
    context = context_for(data=load(params, datasets.locate(params, Path())))
    settings: dict[str, Any] = {"criterion": "l2", "ratio": 0.3, "calibrate": False}
    whole = own(networks.swin).eval()
    images, _ = next(iter(context.data.batches(context.data.test, 64)))
    smaller = [
        prune_channels(copy.deepcopy(whole), PruneChannels(repair=repair, **settings), context).eval()
        for repair in (False, True)
    ]
    with torch.no_grad():
        wanted = whole(images)
        without, refitted = ((model(images) - wanted).square().mean() for model in smaller)
    assert refitted < without / 2
