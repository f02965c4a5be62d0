"""Heads of attention: which go with what, and what turning them is good for."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import datasets
from engine.compute.data import Dataset, load
from engine.compute.export.source import generate
from engine.compute.latency.layer_times import LatencyModel, grid
from engine.compute.latency.layers import layer_configs
from engine.compute.layers.attention import FreeAttention
from engine.compute.models import checkpoint, edits
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.steps.channels.graph import channel_graph
from engine.compute.steps.channels.latency_cost import shrinking
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.channels.principal import turn_heads
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.factorization.step import split
from engine.params import Factorize
from engine.params.factorization import Ratio
from engine.params.preset import Data
from tests.engine.compute.compute_help import context_for
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import ready

ATTENTION = "encoder.layers.encoder_layer_0.self_attention"


def digits() -> Dataset:
    given = Data(name="digits", size=networks.SIZE, channels=3, limit=200)
    return load(given, datasets.locate(given, Path(tempfile.gettempdir())))


def images_of(data: Dataset) -> Tensor:
    return next(data.batches(data.train, 64, order=torch.arange(64), device=torch.device("cpu")))[0]


def test_heads_dimensions_and_embedding_are_groups_of_their_own() -> None:
    groups = {group.name: group for group in channel_graph(ready(networks.vit)).groups}
    heads = groups[f"{ATTENTION}.qkv#heads"]
    assert heads.root.positions[1].tolist() == [*range(8, 16), *range(32, 40), *range(56, 64)]
    queries = groups[f"{ATTENTION}.qkv#queries"]
    assert [cut.positions[5].tolist() for cut in queries.cuts if cut.name == "weight"] == [
        [5, 13, 21],
        [29, 37, 45],
    ]
    values = {cut.tensor: cut.positions[5].tolist() for cut in groups[f"{ATTENTION}.qkv"].cuts}
    assert values[f"{ATTENTION}.qkv.weight"] == [53, 61, 69]
    assert values[f"{ATTENTION}.out_proj.weight"] == [5, 13, 21]
    assert groups["conv_proj"].units == 24 and groups["conv_proj"].per_unit == 1
    assert {"class_token", "encoder.pos_embedding"} <= {cut.tensor for cut in groups["conv_proj"].cuts}


def test_heads_whose_weights_are_looked_at_in_training_are_not_set_free() -> None:
    model = ready(networks.UsesWeightsInTraining)
    assert type(model.get_submodule("attention")) is nn.MultiheadAttention
    assert [group.name for group in channel_graph(model).groups] == ["stem"]


@pytest.mark.parametrize("maker", [networks.swin, networks.swin_v2])
def test_position_biases_go_with_their_heads(maker: Callable[[], nn.Module]) -> None:
    model = ready(maker)
    name = "features.3.0.attn"
    (heads,) = [group for group in channel_graph(model).groups if group.name == f"{name}.qkv#heads"]
    attention = model.get_submodule(name)
    assert isinstance(attention, FreeAttention)
    shrink(model, [heads], {heads.name: torch.tensor([0, 1, 4])})
    assert attention.heads == 3 and (attention.query_width, attention.value_width) == (8, 8)
    for tensor, dim in attention.of_heads().items():
        layer, _, last = tensor.rpartition(".")
        assert getattr(attention.get_submodule(layer), last).shape[dim] == 3
    assert model(torch.randn(1, 3, networks.SIZE, networks.SIZE)).shape == (1, 10)


@pytest.mark.parametrize("maker", [networks.vit, networks.swin, networks.swin_v2])
def test_turning_heads_changes_nothing_and_makes_the_last_dimensions_the_least(
    maker: Callable[[], nn.Module],
) -> None:
    data, model = digits(), ready(maker)
    images = images_of(data)
    turned = copy.deepcopy(model)
    turn_heads(turned, context_for(data=data))
    with torch.no_grad():
        whole = model(images)
        torch.testing.assert_close(turned(images), whole, rtol=1e-4, atol=1e-4)
        losses = []
        for one in (model, turned):
            groups = [g for g in channel_graph(one).groups if g.name.endswith((".qkv", "#queries"))]
            shrink(one, groups, {g.name: torch.arange(g.units // 2, g.units) for g in groups})
            losses.append(float((one(images) - whole).square().mean()))
    assert losses[1] < losses[0]


def test_chains_may_take_the_place_of_its_layers_and_shrink_too(tmp_path: Path) -> None:
    data, model = digits(), ready(networks.vit)
    for layer in ("qkv", "out_proj"):
        assert split(model, f"{ATTENTION}.{layer}", Factorize(rank=Ratio(ratio=0.3)))
    images = images_of(data)
    with torch.no_grad():
        before = model(images)
        turn_heads(model, context_for(data=data))
        torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-4)
    groups = channel_graph(model).groups
    own = {group.name: group for group in groups if group.name.startswith(ATTENTION)}
    heads, queries = (own[f"{ATTENTION}.qkv.1#{units}"] for units in ("heads", "queries"))
    assert {cut.tensor.removeprefix(f"{ATTENTION}.") for cut in heads.cuts} == {
        "qkv.1.weight",
        "qkv.1.bias",
        "out_proj.0.weight",
    }
    with edits.resized(model):
        shrink(model, groups, {heads.name: torch.tensor([1]), queries.name: torch.arange(3)})
    attention = model.get_submodule(ATTENTION)
    assert isinstance(attention, FreeAttention)
    assert (attention.heads, attention.query_width, attention.value_width) == (2, 5, 8)
    checkpoint.save(model, tmp_path)  # raises when the reloaded model differs in a bit


def test_attention_that_no_pass_calls_is_not_turned() -> None:
    model = networks.own(networks.vit)
    model.spare = nn.MultiheadAttention(24, 3)
    prepare_for_channels(model)
    before = copy.deepcopy(model.get_submodule("spare"))
    turn_heads(model, context_for(data=digits()))
    assert all(map(torch.equal, before.parameters(), model.get_submodule("spare").parameters()))


class Encoder(nn.Module):
    """torch's own encoder reads the tensors of its attention itself."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.block = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.stem(x).flatten(2).mT).mean(1))  # type: ignore[no-any-return]


def encoder() -> nn.Module:
    return Encoder()


def test_attention_that_is_used_otherwise_keeps_its_heads_tied() -> None:
    torch.manual_seed(0)
    model = build(Architecture(f"{__file__}:encoder", 3, 10, (networks.SIZE, networks.SIZE))).eval()
    prepare_for_channels(model)
    assert not edits.recorded(model)
    assert isinstance(model.block.self_attn, nn.MultiheadAttention)
    groups = {group.name: group for group in channel_graph(model).groups}
    assert groups["stem"].root.positions.tolist() == [[o, o + 8] for o in range(8)]
    shape, left = (
        (3, networks.SIZE, networks.SIZE),
        {name: group.units // 2 for name, group in groups.items()},
    )
    configs = [one for calls in layer_configs(model, shape).values() for one in calls]
    times = LatencyModel({one: 1.0 * one.inputs * one.outputs for one in grid(configs)})
    predicted = sum(layer.time(left) for layer in shrinking(model, [*groups.values()], shape, times))
    shrink(model, [*groups.values()], {n: torch.arange(left[n], group.units) for n, group in groups.items()})
    made = [one for calls in layer_configs(model, shape).values() for one in calls]
    assert len(made) == len(configs) == 6, "the projections of its attention are two of them"
    assert predicted == pytest.approx(sum(map(times.layer, made)))


def test_its_source_reads_like_a_network_and_gives_the_same_bits() -> None:
    model = ready(networks.vit)
    groups = channel_graph(model).groups
    shrink(model, groups, {group.name: torch.arange(group.units // 2) for group in groups})
    made = generate(model, (3, networks.SIZE, networks.SIZE))  # compares the bits itself
    assert made.trainable and "scaled_dot_product_attention" in made.text
