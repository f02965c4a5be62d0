"""Which channels go together: found in any network, proved, and their cost predicted exactly."""

import copy
import re
from collections.abc import Callable

import pytest
import torch
import torch_pruning
from torch import nn

from engine.compute.measures.counts import count
from engine.compute.models.architecture import architecture
from engine.compute.steps.channels.cost import Predictor
from engine.compute.steps.channels.graph import by_reason, channel_graph, find_groups
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.outcome import out_of_reach
from engine.compute.steps.channels.shrink import shrink
from engine.errors import SecateurError
from tests.engine.compute.compute_help import Unpooled, small_model
from tests.engine.compute.steps.channels import channels_help as networks
from tests.engine.compute.steps.channels.channels_help import SMALL, network, own, ready

OWN = (networks.Flat, networks.Dense, networks.Grouped, networks.Shuffled)
TRANSFORMERS = (networks.vit, networks.swin, networks.swin_v2, networks.maxvit)


def groups_of(model: nn.Module) -> dict[str, Group]:
    return {group.name: group for group in channel_graph(model).groups}


def example(model: nn.Module) -> torch.Tensor:
    arch = architecture(model)
    return torch.rand(1, arch.channels, *arch.size, generator=torch.Generator().manual_seed(1))


def some(groups: list[Group], seed: int = 0) -> dict[str, torch.Tensor]:
    """About half of the units of every group, at random."""
    random = torch.Generator().manual_seed(seed)
    return {g.name: torch.randperm(g.units, generator=random)[: g.units // 2] for g in groups}


def test_residual_connections_couple_a_stage_and_blocks_have_channels_of_their_own() -> None:
    groups = groups_of(small_model(depth=20))
    assert {name: g.units for name, g in groups.items() if name.startswith("layer1")} == {
        "layer1.0.conv1": 8,
        "layer1.1.conv1": 8,
        "layer1.2.conv1": 8,
    }
    stage = {cut.tensor for cut in groups["conv1"].cuts if cut.role == "out"}
    assert stage == {"conv1.weight", *(f"layer1.{i}.conv2.weight" for i in range(3))}
    assert not any(cut.module == "fc" and cut.role == "out" for g in groups.values() for cut in g.cuts)


def test_flattened_channels_take_all_their_positions_along() -> None:
    (cut,) = [c for c in groups_of(own(networks.Flat))["features.3"].cuts if c.role == "in"]
    assert cut.tensor == "hidden.weight"
    assert cut.positions.tolist() == [[4 * i + k for k in range(4)] for i in range(12)]


def test_joined_channels_are_cut_where_they_lie() -> None:
    groups = groups_of(own(networks.Dense))
    cuts = {c.tensor: c.positions.flatten().tolist() for c in groups["layers.0.2"].cuts if c.role == "in"}
    assert cuts == {
        "layers.1.2.weight": [8, 9, 10, 11],
        "layers.2.2.weight": [8, 9, 10, 11],
        "last.weight": [8, 9, 10, 11],
    }


def test_grouped_convolutions_lose_the_same_offset_in_each_group() -> None:
    groups = groups_of(own(networks.Grouped))
    assert groups["stem"].root.positions.tolist() == [[o + 4 * g for g in range(4)] for o in range(4)]
    assert groups["grouped"].root.positions.tolist() == [[o + 6 * g for g in range(4)] for o in range(6)]
    assert {"depthwise.weight", "norm.weight", "scale"} <= {c.tensor for c in groups["grouped"].cuts}


@pytest.mark.parametrize(
    ("maker", "found"),
    [(networks.WidthFromInput, {"hidden"}), (networks.ScaledByWidth, {"stem", "hidden"})],
)
def test_sizes_that_code_takes_from_other_sizes_stay(maker: Callable[[], nn.Module], found: set[str]) -> None:
    model = ready(maker)
    graph = channel_graph(model)
    assert {group.name for group in graph.groups} == found
    assert set(graph.left_out) == {"stem", "qkv", "hidden"} - found
    for group in graph.groups:
        smaller = copy.deepcopy(model)
        shrink(smaller, [group], {group.name: torch.arange(1)})
        assert smaller(example(model)).isfinite().all()


def test_what_can_not_shrink_is_left_out_with_the_reason() -> None:
    sliced = channel_graph(own(networks.Sliced))
    assert [g.name for g in sliced.groups] == ["inner"]
    assert sliced.left_out == {"stem": "inner does not run with fewer channels"}
    for maker in (networks.Mixed, networks.Weakly, networks.Shifted):
        graph = channel_graph(own(maker))
        assert [g.name for g in graph.groups] == ["inner"]
        assert "something else" in graph.left_out["stem"]


@pytest.mark.parametrize("maker", [networks.layer_scaled, networks.zero_scaled])
def test_what_a_scale_near_zero_hides_is_found_out(maker: Callable[[], nn.Module]) -> None:
    """Training makes it heard; the parameters that the network has stay as they are."""
    model = own(maker)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = channel_graph(model)
    assert [g.name for g in graph.groups] == ["stem"]
    assert "something else" in graph.left_out["inner"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("maker", "layer", "why"),
    [
        (networks.Mixed, "stem", "the model would compute something else (mean in the network itself)"),
        (networks.Sliced, "stem", "inner does not run with fewer channels"),
        (networks.Blurred, "stem", "its channels are tied to convolution in the network itself"),
        (networks.Sliced, "last", "it makes the output"),
    ],
)
def test_the_operation_for_which_a_layer_stays_whole_is_named(
    maker: Callable[[], nn.Module], layer: str, why: str
) -> None:
    assert channel_graph(own(maker)).whole[layer] == why


def test_what_an_operation_gives_beside_its_first_result_has_channels_too() -> None:
    groups, _ = find_groups(Unpooled().eval(), torch.rand(1, 3, 4, 4))
    assert groups == []


def test_the_share_of_a_network_that_no_step_for_channels_reaches_is_told() -> None:
    """Of a network that can shrink everywhere nothing is told."""
    model = own(networks.Blurred)
    shape = (3, networks.SIZE, networks.SIZE)
    counted = count(model, shape)
    macs = {one.name: one.macs for one in counted.layers}
    stuck = (macs["stem.weight"] + macs["kernel"]) / counted.macs
    told = out_of_reach(model, channel_graph(model), (), shape)
    assert f"{stuck:.0%}".replace("%", " % of the MACs") in told and "stem, because" in told
    dense = own(networks.Dense)
    assert not out_of_reach(dense, channel_graph(dense), (), shape)


def test_a_single_reason_more_is_given_and_more_are_counted() -> None:
    four = {f"conv{number}": f"of reason {number}" for number in range(4)}
    assert by_reason(four).endswith("; conv3, because of reason 3")
    assert by_reason(four | {"fc": "it makes the output"}).endswith("reason 2; and 2 more layers")


def test_layers_whose_channels_go_with_those_of_a_skipped_one_say_so() -> None:
    whole = channel_graph(small_model(depth=20), ("layer1.0.conv2",)).whole
    assert whole["conv1"] == whole["layer1.2.conv2"] == "its channels go with those of layer1.0.conv2"


def test_a_kernel_repeated_for_all_channels_keeps_them() -> None:
    assert [g.name for g in channel_graph(own(networks.Blurred)).groups] == ["inner"]


def test_rms_norm_shrinks_with_what_it_normalizes() -> None:
    model = own(networks.Rms)
    groups = channel_graph(model).groups
    shrink(model, groups, some(groups))
    assert model(example(model)).shape == (1, 10)


@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v3_small", "torchvision/squeezenet1_1"])
def test_torch_pruning_finds_the_same_groups(name: str) -> None:
    """DepGraph, the reference, on networks that it can trace."""
    model = network(name, **SMALL[name])
    graph = torch_pruning.DependencyGraph().build_dependency(model, example(model), verbose=False)
    names = {module: name for name, module in model.named_modules()}
    theirs = set()
    for group in graph.get_all_groups():
        outs = [d.target.module for d, _ in group if d.handler in torch_pruning_outs()]
        theirs.add(frozenset(names[m] for m in outs))
    last = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]
    ours = {frozenset(c.module for c in g.cuts if c.role == "out") for g in channel_graph(model).groups}
    assert ours == {group for group in theirs if last not in group}


@pytest.mark.parametrize("maker", [networks.Sliced, networks.Mixed])
def test_torch_pruning_offers_what_can_not_shrink(maker: Callable[[], nn.Module]) -> None:
    """Why groups are verified: the graph alone lets layers go that the network computes otherwise without."""
    model = own(maker)
    graph = torch_pruning.DependencyGraph().build_dependency(model, example(model), verbose=False)
    offered = {group[0].dep.target.module for group in graph.get_all_groups()}
    assert model.stem in offered
    assert "stem" in channel_graph(model).left_out


def torch_pruning_outs() -> tuple[object, ...]:
    return (torch_pruning.prune_conv_out_channels, torch_pruning.prune_linear_out_channels)


@pytest.mark.parametrize("name", SMALL)
def test_predicted_macs_and_parameters_are_what_is_counted(name: str) -> None:
    check_prediction(network(name, **SMALL[name]))


@pytest.mark.parametrize("maker", [*OWN, *TRANSFORMERS])
def test_predictions_hold_for_every_kind_of_coupling(maker: Callable[[], nn.Module]) -> None:
    check_prediction(ready(maker))


def check_prediction(model: nn.Module) -> None:
    arch = architecture(model)
    shape = (arch.channels, *arch.size)
    groups = channel_graph(model).groups
    predictor = Predictor(model, groups, shape)
    before = count(model, shape)
    assert (predictor.macs({}), predictor.parameters({})) == (before.macs, before.parameters)
    in_order = iter([layer.macs for layer in before.layers])
    terms = (predictor._macs * predictor._products({})).round().int().tolist()
    assert all(macs in in_order for macs in terms if macs), "sums, and what a step tells, have one order"
    for round_ in range(2):
        groups = shrink(model, groups, some(groups, round_))
        left = {group.name: group.units for group in groups}
        after = count(model, shape)
        assert (predictor.macs(left), predictor.parameters(left)) == (after.macs, after.parameters)
    assert after.parameters < before.parameters


@pytest.mark.parametrize("maker", OWN)
def test_removing_channels_is_the_same_as_silencing_them(maker: Callable[[], nn.Module]) -> None:
    model = own(maker)
    if maker is networks.Grouped:
        model.norm = nn.Identity()  # normalizing over fewer channels is another function
    groups = channel_graph(model).groups
    gone = some(groups)
    silenced = copy.deepcopy(model)
    with torch.no_grad():
        for group in groups:
            for cut in group.cuts:
                if cut.role in ("in", "out", "bias"):
                    tensor = getattr(silenced.get_submodule(cut.module), cut.name)
                    tensor.index_fill_(cut.dim, cut.positions[gone[group.name]].flatten(), 0)
                if cut.module.startswith(("layers.", "norm")) and cut.role in ("scale", "bias"):
                    getattr(silenced.get_submodule(cut.module), cut.name)[
                        cut.positions[gone[group.name]].flatten()
                    ] = 0
    shrink(model, groups, gone)
    with torch.no_grad():
        assert torch.allclose(model(example(model)), silenced(example(model)), atol=1e-5)


@pytest.mark.parametrize("maker", TRANSFORMERS)
def test_what_is_left_of_attention_goes_on_working(maker: Callable[[], nn.Module]) -> None:
    model = ready(maker)
    graph = channel_graph(model)
    assert not graph.left_out
    groups = graph.groups
    for round_ in range(2):
        groups = shrink(model, groups, some(groups, round_))
    assert model(example(model)).shape == (1, 10)
    again = {g.name: (g.units, g.per_unit) for g in channel_graph(model).groups}
    # Of one unit nothing can go any more: it is no group.
    assert again == {g.name: (g.units, g.per_unit) for g in groups if g.units > 1}


def test_skipped_layers_keep_their_channels() -> None:
    names = set(groups_of(small_model(depth=20)))
    skipped = {g.name for g in channel_graph(small_model(depth=20), ("layer1.*", "layer3.2.conv1")).groups}
    assert names - skipped == {
        "conv1",
        "layer1.0.conv1",
        "layer1.1.conv1",
        "layer1.2.conv1",
        "layer3.2.conv1",
    }


@pytest.mark.parametrize("skip", [("conv9",), ("Conv2d",)])
def test_a_skip_that_names_nothing_or_leaves_nothing_is_refused(skip: tuple[str, ...]) -> None:
    with pytest.raises(SecateurError, match=re.compile("skip names no layer|no channels to prune")):
        channel_graph(small_model(depth=20), skip)


def test_finding_groups_leaves_the_model_as_it_was() -> None:
    model = small_model(depth=20).train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    channel_graph(model)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert model.training and model.conv1.training
