"""Importance by the network's output: what the closed form says is what refitting by hand finds, without labels."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine import datasets
from engine.compute.data import Split, load
from engine.compute.measures.counts import count
from engine.compute.steps.channels import output_loss
from engine.compute.steps.channels.graph import channel_graph
from engine.compute.steps.channels.importance import importance
from engine.compute.steps.channels.output_loss import output_losses
from engine.compute.steps.channels.step import prune_channels
from engine.compute.training.loop import fit
from engine.params.channels import PruneChannels
from engine.params.preset import Data
from engine.params.training import Finetune
from tests.engine.compute.compute_help import context_for, digits, small_model
from tests.engine.compute.steps.channels import channels_help as networks


def test_the_closed_form_is_what_a_refit_without_the_inputs_loses() -> None:
    """Ridge regression on what is left, by hand, for units that go one after the other."""
    chance = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 12, dtype=torch.float64, generator=chance) @ torch.randn(
        12, 12, dtype=torch.float64, generator=chance
    )
    second = rows.T @ rows / 200 + 0.01 * torch.eye(12)
    weight = torch.randn(3, 12, dtype=torch.float64, generator=chance)
    slopes = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)

    def lost(kept: list[int]) -> float:
        best = torch.linalg.solve(second[kept][:, kept], second[kept] @ weight.T).T
        error = -weight.clone()
        error[:, kept] += best
        return float(((error @ second) * error).sum(1) @ slopes) / 2

    columns = torch.arange(12).reshape(4, 3)
    taker = output_loss._Taker(weight.clone(), torch.linalg.inv(second), columns, slopes)
    left, before = [0, 1, 2, 3], 0.0
    for unit in (2, 0, 3):
        kept = [int(c) for u in left if u != unit for c in columns[u]]
        now = lost(kept)
        torch.testing.assert_close(float(taker.losses(left)[left.index(unit)]), now - before)
        taker.remove([unit])
        left.remove(unit)
        before = now


def test_a_channel_that_others_can_replace_goes_first() -> None:
    """Of two channels that are the same, one costs nothing; what is left then is worth more than before."""
    model = fit(small_model(), Finetune(epochs=3, learning_rate=0.1, batch=64), context_for())
    block = model.get_submodule("layer3.0")
    with torch.no_grad():
        for tensor in (
            block.conv1.weight,
            block.bn1.weight,
            block.bn1.bias,
            block.bn1.running_mean,
            block.bn1.running_var,
        ):
            tensor[5] = tensor[3]
    values = output_losses(model, channel_graph(model).groups, context_for())["layer3.0.conv1"]
    copies, others = values[[3, 5]], values[[u for u in range(len(values)) if u not in (3, 5)]]
    assert float(copies.min()) < 0.1 * float(others.median())
    assert float(copies.max()) > 10 * float(copies.min())


def test_ranking_in_parts_gives_what_ranking_at_once_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """As networks are ranked whose inverses don't fit into memory together."""
    model = small_model()
    groups = channel_graph(model).groups
    at_once = output_losses(model, groups, context_for())
    monkeypatch.setattr(output_loss, "ROOM", 2**20)
    in_parts = output_losses(model, groups, context_for())
    assert list(in_parts) == list(at_once)
    assert all(torch.equal(in_parts[name], at_once[name]) for name in at_once)


def test_no_label_has_a_part_and_the_model_stays() -> None:
    data = digits()
    wrong = replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    groups = channel_graph(model).groups
    one, two = (importance("output", model, groups, context_for(data=d), 0) for d in (data, wrong))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert {g.name: g.units for g in groups} == {name: len(values) for name, values in one.items()}
    assert all(_rises(values) for values in one.values())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("maker", [networks.Grouped, networks.vit, networks.swin])
def test_every_kind_of_channel_is_ranked(maker: Any) -> None:
    """Those of attention heads too, which nothing is refitted for; the default goes by it, and meets its target."""
    given = Data(name="digits", size=networks.SIZE, channels=3, limit=40)
    context = context_for(data=load(given, datasets.locate(given, Path(tempfile.gettempdir()))))
    model = networks.ready(maker)
    groups = channel_graph(model).groups
    values = importance("output", model, groups, context, 0)
    assert {g.name: g.units for g in groups} == {name: len(own) for name, own in values.items()}
    assert all(_rises(own) for own in values.values())
    shape = (3, networks.SIZE, networks.SIZE)
    before = count(model, shape).macs
    after = prune_channels(model, PruneChannels(speedup=1.5, round_to=1), context)
    assert before / count(after, shape).macs >= 1.5


def _rises(values: Tensor) -> bool:
    return bool((values >= 0).all()) and bool(values.isfinite().all())
