"""Blocks that are dropped: which go, what stays in their place, and that it is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.data import Split
from engine.compute.layers.dropped import Dropped
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, architecture, attached
from engine.compute.steps.channels.graph import channel_graph
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.pruning.blocks import drop, prune_blocks
from engine.compute.steps.pruning.stand_ins import stand_ins
from engine.errors import SecateurError
from engine.params import PruneBlocks
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, digits, small_model
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import ready

SHAPE = (1, 8, 8)
IMAGES = torch.rand(8, 3, networks.SIZE, networks.SIZE, generator=torch.Generator().manual_seed(0))


def test_residual_blocks_leave_their_input_and_branches_a_constant() -> None:
    of_resnet = stand_ins(small_model(depth=20).eval(), [torch.rand(8, *SHAPE)])
    identity = {name for name in of_resnet if name.count(".") == 1}
    assert identity >= {"layer1.0", "layer1.1", "layer2.1", "layer3.2"} and "layer2.0" not in of_resnet
    assert all(of_resnet[name].shortcut for name in identity)
    of_vit = stand_ins(ready(networks.vit), [IMAGES])
    block = "encoder.layers.encoder_layer_0"
    assert {f"{block}.self_attention", f"{block}.mlp"} <= of_vit.keys()
    assert not of_vit[f"{block}.mlp"].shortcut and not of_vit[f"{block}.self_attention"].shortcut
    assert of_vit[f"{block}.self_attention"].pair


@pytest.mark.parametrize("maker", [networks.vit, networks.swin, lambda: None])
def test_the_constant_keeps_the_mean_of_what_was_dropped(maker: Callable[[], nn.Module]) -> None:
    model, images = (
        (ready(maker), IMAGES)
        if maker() is not None
        else (small_model(depth=20).eval(), torch.rand(8, *SHAPE))
    )
    given: dict[str, tuple[Tensor, Tensor]] = {}
    for name, stand_in in stand_ins(model, [images]).items():
        module = model.get_submodule(name)
        handle = module.register_forward_hook(
            lambda _, inputs, output, n=name: given.__setitem__(
                n, (inputs[0].clone(), output[0] if isinstance(output, tuple) else output.clone())
            )
        )
        with torch.no_grad():
            model(images)
            before, made = given[name]
            instead = stand_in(before)
        handle.remove()
        instead = instead[0] if isinstance(instead, tuple) else instead
        torch.testing.assert_close(instead.mean(), made.mean(), rtol=1e-3, atol=1e-4)
        assert (instead - made).square().mean() <= made.square().mean() * 1.001


def test_the_cheapest_go_first_and_no_label_has_a_part() -> None:
    data = digits()
    wrong = replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))
    rows = []
    for one in (data, wrong):
        context = context_for(data=one)
        model = small_model(depth=20)
        with torch.no_grad():
            model.get_parameter("layer2.1.bn2.weight").fill_(1e-6)
        model = prune_blocks(model, PruneBlocks(count=2, calibrate=False), context)
        rows.append(context.observations["blocks"])
        assert isinstance(model.get_submodule("layer2.1"), Dropped)
    assert rows[0] == rows[1]
    assert rows[0][0]["layer"] == "layer2.1" and rows[0][0]["divergence"] < rows[0][1]["divergence"]


def test_a_speedup_is_reached_and_blocks_to_keep_stay() -> None:
    before = count(small_model(depth=20), SHAPE).macs
    kept = ("layer3.1", "layer3.2", "layer1.0")
    model = prune_blocks(small_model(depth=20), PruneBlocks(speedup=1.3, keep=kept), context_for())
    assert before / count(model, SHAPE).macs >= 1.3
    assert not any(isinstance(model.get_submodule(name), Dropped) for name in kept)


class Encoder(nn.Module):
    """torch's own, which asks its first layer whether images come first."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.fc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.encoder(x[:, 0]).mean(1))
        return out


def test_a_block_that_the_network_reads_from_stays() -> None:
    events: list[ev.Event] = []
    model = attached(Encoder(), Architecture("encoder.py:build", 1, 10, (8, 8)))
    prune_blocks(model, PruneBlocks(count=1), context_for(events=events))
    told = " ".join(event.text for event in events if isinstance(event, ev.Notice))
    assert (
        "Left alone by prune.blocks: encoder (nothing can take its place" in told
        or "encoder.layers.0 (" in told
    )
    assert isinstance(model.get_submodule("encoder.layers.1"), Dropped)


class Undone(nn.Module):
    """Two blocks in one, of which the second takes back what the first adds."""

    def __init__(self) -> None:
        super().__init__()
        added = torch.eye(8) + torch.randn(8, 8, generator=torch.Generator().manual_seed(0)) / 8
        self.body = nn.Sequential(self._block(added), self._block(added.inverse()))
        self.fc = nn.Linear(64, 10)

    def _block(self, matrix: Tensor) -> nn.Module:
        block = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
        with torch.no_grad():
            block.get_parameter("0.weight").copy_(matrix)
            block.get_parameter("1.weight").copy_(torch.eye(8))
        return block

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(x[:, 0]).flatten(1))
        return out


def test_so_many_go_as_there_are_however_little_the_one_around_them_loses() -> None:
    made = []
    for count_ in (1, 2):
        model, context = attached(Undone(), Architecture("undone.py:build", 1, 10, (8, 8))), context_for()
        prune_blocks(model, PruneBlocks(count=count_), context)
        made.append([str(one["layer"]) for one in context.observations["blocks"]])
    assert made[0] == ["body"] and len(made[1]) == 2


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(SecateurError, match="7 blocks is the most"):
        prune_blocks(small_model(depth=20), PruneBlocks(count=20), context_for())
    with pytest.raises(SecateurError, match="keep names no block: layer9"):
        prune_blocks(small_model(depth=20), PruneBlocks(keep=("layer9",)), context_for())
    with pytest.raises(ValueError, match="one of the two"):
        PruneBlocks(count=2, speedup=2.0)


def test_it_loads_back_equal_and_channels_go_on_from_it(tmp_path: Path) -> None:
    model = ready(networks.vit)
    found = stand_ins(model, [IMAGES])
    names = ["encoder.layers.encoder_layer_0.self_attention", "encoder.layers.encoder_layer_1.mlp"]
    for name in names:
        drop(model, name, found[name])
    prepare_for_channels(model)
    groups = {group.name: group for group in channel_graph(model).groups}
    assert {f"{name}.bias" for name in names} <= {cut.tensor for cut in groups["conv_proj"].cuts}
    checkpoint.save(model, tmp_path)  # raises when the reloaded model differs in a bit
    again = checkpoint.load(tmp_path, [architecture(model).name])
    with torch.no_grad():
        assert torch.equal(again(IMAGES), model(IMAGES))
