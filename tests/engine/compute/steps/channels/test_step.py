"""`prune.channels`: targets, criteria, masks, checkpoints, resumption."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.layers.masks import masked
from engine.compute.layers.select import weight_of
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint, edits
from engine.compute.models.architecture import architecture
from engine.compute.runtimes.base import artefact, session
from engine.compute.steps.channels.graph import channel_graph
from engine.compute.steps.channels.learning import learn
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.pruning.step import prune_weights
from engine.errors import SecateurError
from engine.params import ClusterWeights, PruneChannels, PruneWeights
from engine.params.channels import GrowingLearning
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import network, own

CRITERIA = ("l1", "l2", "bn-scale", "fpgm", "lamp", "taylor", "hessian", "output", "random")
SCOPES = ("local", "global", "isomorphic", "cost")
SHAPE = (1, 8, 8)
FAMILIES = (
    "resnet18",
    "densenet121",
    "googlenet",
    "squeezenet1_1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "efficientnet_b0",
    "regnet_y_400mf",
    "convnext_tiny",
)


def params(**values: Any) -> PruneChannels:
    return PruneChannels.model_validate({"calibrate": False, "repair": False, "round_to": 1, **values})


def pruned(model: nn.Module | None = None, context: Context | None = None, **values: Any) -> nn.Module:
    return prune_channels(model or small_model(), params(**values), context or context_for())


def widths(model: nn.Module) -> dict[str, int]:
    return {n: m.out_channels for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}


def same(one: nn.Module, two: nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_meets_a_speedup_closely(criterion: str) -> None:
    before = count(small_model(), SHAPE).macs
    model = pruned(criterion=criterion, speedup=2)
    assert 2 <= before / count(model, SHAPE).macs < 2.2
    assert len(set(widths(model).items()) ^ set(widths(small_model()).items())) > 1


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_meets_both_targets(scope: str) -> None:
    before, after = count(small_model(), SHAPE), count(pruned(scope=scope, speedup=2, compression=3), SHAPE)
    speedup, compression = before.macs / after.macs, before.parameters / after.parameters
    assert speedup >= 2 and compression >= 3
    assert speedup < 2.2 or compression < 3.3, "one of them is met closely"


def test_a_ratio_is_the_share_of_the_channels() -> None:
    context = context_for()
    model = pruned(context=context, ratio=0.5, scope="local")
    assert set(widths(model).values()) == {4, 8, 16}
    rows = context.observations["channels"]
    assert {"layer": "conv1", "before": 8, "after": 4} in rows
    assert all(row["after"] == row["before"] // 2 for row in rows)


@pytest.mark.parametrize("scope", SCOPES)
def test_no_layer_falls_below_the_floor_and_widths_are_multiples(scope: str) -> None:
    model = pruned(small_model(width=16), scope=scope, speedup=3, floor=0.25, round_to=4)
    whole = widths(small_model(width=16))
    for name, width in widths(model).items():
        assert width >= whole[name] / 4
        assert width % 4 == 0


def test_channels_with_the_smallest_weights_go() -> None:
    model = small_model()
    with torch.no_grad():
        for name in ("layer1.0.conv1.weight", "layer1.0.bn1.weight"):
            model.get_parameter(name)[[1, 4, 6]] *= 1e-3
        model.get_parameter("layer1.0.conv2.weight")[:, [1, 4, 6]] *= 1e-3
    kept = model.layer1[0].conv1.weight[[0, 2, 3, 5, 7]].clone()
    assert torch.equal(
        pruned(model, ratio=0.375, scope="local", skip=("conv1",)).layer1[0].conv1.weight, kept
    )


def test_the_output_and_skipped_layers_keep_their_channels() -> None:
    model = pruned(ratio=0.5, scope="local", skip=("layer2.*",))
    assert model.get_submodule("fc").out_features == 10
    assert {width for name, width in widths(model).items() if name.startswith("layer2")} == {16}


def test_an_unreachable_target_is_refused_before_anything_is_done() -> None:
    model, events = small_model(), list[ev.Event]()
    with pytest.raises(SecateurError, match=r"speedup 50 can't be reached: \d"):
        pruned(model, context_for(events=events), speedup=50, floor=0.5, learning={"kind": "group_sl"})
    assert same(model, small_model())
    assert not any(isinstance(event, ev.EpochFinished) for event in events)


def test_what_is_left_out_is_told() -> None:
    events = list[ev.Event]()
    pruned(own(networks.Sliced), context_for(events=events), ratio=0.5)
    told = [event for event in events if isinstance(event, ev.Notice)]
    assert any("Left whole: stem" in notice.text and notice.level == "warning" for notice in told)


def test_layers_that_stay_with_what_is_left_out_are_told_in_one_place() -> None:
    events = list[ev.Event]()
    pruned(own(networks.SlicedSum), context_for(events=events), ratio=0.5)
    told = [event.text for event in events if isinstance(event, ev.Notice)]
    assert [text for text in told if "beside" in text] == [
        "Left whole: stem, beside, because inner does not run with fewer channels"
    ]


def test_what_was_asked_and_reached_and_what_stays_whole_are_told() -> None:
    context = context_for(events=(events := list[ev.Event]()))
    pruned(context=context, speedup=2)
    told = " ".join(event.text for event in events if isinstance(event, ev.Notice))
    reached = context.observations["targets"]["speedup"]["reached"]
    assert f"asked 2×, reached {reached:.2f}×" in told
    assert "fc, because it makes the output" in told and "fc" in context.observations["whole"]


def test_layers_that_share_a_weight_keep_their_channels_and_are_told_as_such() -> None:
    context = context_for(events=(events := list[ev.Event]()))
    model = pruned(own(networks.Tied), context, ratio=0.5)
    one, two = model.get_submodule("one"), model.get_submodule("two")
    assert one.weight is two.weight and weight_of(one).shape[:2] == (8, 8)
    assert weight_of(model.get_submodule("inner")).shape[0] < 12
    told = " ".join(event.text for event in events if isinstance(event, ev.Notice))
    assert "one" in context.observations["whole"] and "one weight with two" in told


def test_bn_scale_falls_back_where_there_is_none_and_is_refused_where_there_is_none_at_all() -> None:
    events = list[ev.Event]()
    pruned(own(networks.Dense), context_for(events=events), ratio=0.25, criterion="bn-scale")
    assert not any("BatchNorm" in event.text for event in events if isinstance(event, ev.Notice))
    with pytest.raises(SecateurError, match="needs BatchNorm"):
        pruned(own(networks.Flat), ratio=0.25, criterion="bn-scale")
    with pytest.raises(SecateurError, match="needs BatchNorm"):
        pruned(own(networks.Flat), ratio=0.25, learning="bn-scale")


def test_chance_depends_on_the_seed() -> None:
    def found(seed: int) -> nn.Module:
        return pruned(context=context_for(seed=seed), criterion="random", ratio=0.5)

    assert same(found(1), found(1))
    assert not same(found(1), found(2))


@pytest.mark.parametrize("criterion", ["l2", "taylor"])
def test_masks_are_kept_with_the_weights_that_stay(criterion: str) -> None:
    model = prune_weights(small_model(), PruneWeights(sparsity=0.5), context_for())
    model = pruned(model, criterion=criterion, speedup=2)
    masks = masked(model)
    assert len(masks) == 10
    for name, mask in masks.items():
        weight = weight_of(model.get_submodule(name))
        assert mask.mask.shape == weight.shape
        assert torch.equal(weight != 0, mask.mask)


def test_pruning_twice_goes_on_from_what_is_left() -> None:
    model = pruned(pruned(ratio=0.5, scope="local"), ratio=0.5, scope="local")
    assert set(widths(model).values()) == {2, 4, 8}


@pytest.mark.parametrize("maker", [networks.Grouped, networks.Shifted, networks.vit, networks.swin])
def test_a_pruned_model_loads_back_equal_and_exports(maker: Any, tmp_path: Path) -> None:
    model = own(maker)
    pruned(model, ratio=0.5)
    checkpoint.save(model, tmp_path)  # raises when the reloaded model differs in a bit
    again = checkpoint.load(tmp_path, [architecture(model).name])
    assert same(model, again)
    shape = (3, networks.SIZE, networks.SIZE)
    images = torch.rand(2, *shape)
    path = artefact("onnxruntime", again, shape, tmp_path)
    opened = session("onnxruntime", path, batch=2, shape=shape, threads=1)
    with torch.no_grad():
        torch.testing.assert_close(opened.run(images), again(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("learning", ["group_sl", "bn-scale", "growing"])
def test_learning_makes_weak_channels_weaker_before_they_go(learning: str) -> None:
    chosen = {"kind": learning, "epochs": 2, "strength": 0.05}
    context = context_for()
    model = pruned(context=context, ratio=0.5, learning=chosen)
    plain = pruned(ratio=0.5)
    assert sum(widths(model).values()) == pytest.approx(sum(widths(plain).values()), rel=0.1)
    assert not torch.equal(model.get_submodule("fc").bias, plain.get_submodule("fc").bias)


def test_growing_drives_the_chosen_channels_down() -> None:
    model = small_model()
    groups = channel_graph(model).groups
    gone = {"layer1.0.conv1": torch.tensor([0, 1, 2])}
    before = model.layer1[0].conv1.weight.detach().abs().mean((1, 2, 3))
    learn(
        model, groups, GrowingLearning(epochs=2, strength=0.5, learning_rate=0.1), context_for(), lambda: gone
    )
    after = model.layer1[0].conv1.weight.detach().abs().mean((1, 2, 3)) / before
    assert after[:3].max() < 0.5 < after[3:].min()


def test_rounds_end_at_the_target_and_train_between() -> None:
    before = count(small_model(), SHAPE).macs
    model = pruned(speedup=3, schedule={"kind": "cubic", "rounds": 3, "epochs": 1})
    assert 3 <= before / count(model, SHAPE).macs < 3.3
    assert not torch.equal(model.get_submodule("fc").bias, small_model().get_submodule("fc").bias)


def test_many_small_rounds_are_quick_and_exact() -> None:
    before = count(small_model(), SHAPE).macs
    model = pruned(speedup=4, schedule={"kind": "linear", "rounds": 100, "epochs": 0})
    assert 4 <= before / count(model, SHAPE).macs < 4.4


class _Killed(Exception):
    pass


class _Killer:
    """Ends the step in the epoch after `stop` finished ones."""

    def __init__(self, stop: int) -> None:
        self.left = stop

    def __call__(self, event: ev.Event) -> None:
        self.left -= isinstance(event, ev.EpochFinished)
        if self.left < 0:
            raise _Killed


def test_an_interrupted_step_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "criterion": "taylor",
        "speedup": 3,
        "learning": {"kind": "growing", "epochs": 2},
        "schedule": {"kind": "linear", "rounds": 3, "epochs": 1},
        "calibrate": True,
    }
    whole = pruned(context=context_for(partial=tmp_path / "whole"), **settings)
    for stop in (1, 3):
        folder = tmp_path / f"cut-{stop}"
        context = context_for(partial=folder)
        context.send = _Killer(stop)
        with pytest.raises(_Killed):
            pruned(context=context, **settings)
        assert same(whole, pruned(context=context_for(partial=folder), **settings))
        shutil.rmtree(folder)


def test_batch_norm_is_estimated_anew_unless_told_not_to() -> None:
    model = pruned(ratio=0.5)
    calibrated = pruned(ratio=0.5, calibrate=True)
    assert torch.equal(model.get_submodule("conv1").weight, calibrated.get_submodule("conv1").weight)
    assert not torch.equal(
        model.get_submodule("bn1").running_mean, calibrated.get_submodule("bn1").running_mean
    )


def test_rates_of_a_sensitivity_study_are_used() -> None:
    model = small_model()
    names = [group.name for group in channel_graph(model).groups]
    rows = [
        {"layer": name, "rate": rate, "loss_increase": rate * (100.0 if name == "conv1" else 1.0)}
        for name in names
        for rate in (0.3, 0.6, 0.9)
    ]
    edits.notes(model)["sensitivity"] = {"channels": {"of": "channels", "rows": rows}}
    context = context_for()
    pruned(model, context, scope="sensitivity", speedup=2)
    gone = {row["layer"]: 1 - row["after"] / row["before"] for row in context.observations["channels"]}
    assert gone["conv1"] == 0
    assert max(gone.values()) - min(v for k, v in gone.items() if k != "conv1") < 0.15


def test_a_scope_without_its_study_is_refused() -> None:
    with pytest.raises(SecateurError, match="sensitivity"):
        pruned(scope="sensitivity", speedup=2)


@pytest.mark.parametrize(
    "make",
    [*(partial(network, f"torchvision/{name}") for name in FAMILIES), partial(own, networks.swin_v2)],
    ids=[*FAMILIES, "swin_v2"],
)
def test_half_of_every_kind_of_network_goes_and_the_rest_reloads_equal(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    """benchmarks/walk_channels.py does it for every network of torchvision."""
    model, events = make(), list[ev.Event]()
    shape = (3, *architecture(model).size)
    before = count(model, shape)
    context = context_for(events=events)
    pruned(model, context, ratio=0.5, scope="local")
    assert all(isinstance(event, ev.Notice) and event.level == "info" for event in events)
    of_itself = (
        "it makes the output",
        "its channels have a meaning of their own",
        "all its channels hang together",
    )
    assert all(why.startswith(of_itself) for why in context.observations["whole"].values()), (
        "no group is left out"
    )
    assert 2.5 < before.macs / count(model, shape).macs < 4.5
    checkpoint.save(model, tmp_path)  # raises when the reloaded model differs in a bit


def test_clustered_weights_are_refused() -> None:
    model = small_model()
    cluster_weights(model, ClusterWeights(), context_for())
    with pytest.raises(SecateurError, match="clustered"):
        channel_graph(model)
