"""Times of single layers: which layers a model has, the grid, interpolation, and the process that measures."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from engine.compute.latency.layer_times import (
    BLOCKS,
    PROBE,
    LatencyModel,
    block,
    grid,
    layer_times,
    monotone,
    probes,
)
from engine.compute.latency.layer_worker import disturbed
from engine.compute.latency.layers import LayerConfig, layer_configs
from engine.compute.latency.part_vectors import part_probes, part_vectors
from engine.compute.models.architecture import Architecture, attached
from engine.compute.steps.channels.graph import channel_graph
from engine.compute.steps.channels.latency_cost import LatencyCost, preferred_multiple
from engine.errors import SecateurError
from engine.params.channels import LatencyTarget
from engine.params.runtimes import TargetRuntime
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks

pytestmark = pytest.mark.usefixtures("briefly")

CONV = LayerConfig("conv", 64, 64, 8, 8, (3, 3), padding=(1, 1))


def work(config: LayerConfig) -> float:
    """A made-up time that rises with both widths."""
    return config.inputs * config.outputs + 7.0


def test_the_layers_of_a_model_are_found_with_the_images_that_they_see() -> None:
    found = layer_configs(small_model(depth=20), (1, 8, 8))
    assert len(found) == 22, "20 layers and two projections"
    assert found["conv1"] == (LayerConfig("conv", 1, 8, 8, 8, (3, 3), padding=(1, 1)),)
    (down,) = found["layer2.0.conv1"]
    assert (down.inputs, down.outputs, down.height, down.stride) == (8, 16, 8, (2, 2))
    (after,) = found["layer2.0.conv2"]
    assert (after.inputs, after.outputs, after.height, after.width) == (16, 16, 4, 4)
    (last,) = [calls for name, calls in found.items() if calls[0].kind == "linear"]
    assert last == (LayerConfig("linear", 32, 10),)


@pytest.mark.parametrize("maker", [networks.vit, networks.swin, networks.swin_v2])
def test_projections_that_attention_does_not_call_are_layers_all_the_same(
    maker: Callable[[], nn.Module],
) -> None:
    shape = (3, networks.SIZE, networks.SIZE)
    tied, free = (
        Counter(one for calls in layer_configs(model, shape).values() for one in calls)
        for model in (networks.own(maker), networks.ready(maker))
    )
    assert tied == free


def test_layers_that_repeat_are_measured_once() -> None:
    found = [config for calls in layer_configs(small_model(depth=20), (1, 8, 8)).values() for config in calls]
    points = grid(found)
    assert len(points) == len(set(points))
    assert grid([*found, *found]) == points


def test_grouped_depthwise_and_shared_layers_are_told_apart() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep = nn.Conv2d(8, 8, 3, groups=8, padding="same")
            self.grouped = nn.Conv2d(8, 8, (3, 1), groups=2, dilation=(2, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.grouped(self.deep(self.deep(images)))
            return out

    model = Net().train()
    found = layer_configs(model, (8, 6, 6))
    assert found["deep"] == (LayerConfig("conv", 8, 8, 6, 6, (3, 3), padding=(1, 1), groups="depthwise"),) * 2
    assert found["grouped"] == (LayerConfig("conv", 8, 8, 6, 6, (3, 1), dilation=(2, 1), groups=2),)
    assert model.training
    points = grid(config for calls in found.values() for config in calls)
    assert all(p.outputs == p.inputs for p in points if p.groups == "depthwise")
    assert all(p.inputs % 2 == 0 and p.outputs % 2 == 0 for p in points if p.groups == 2)


def test_the_model_is_exact_at_what_was_measured() -> None:
    times = {config: work(config) for config in grid([CONV])}
    model = LatencyModel(times)
    for config, time in times.items():
        assert model.layer(config) == pytest.approx(time, rel=1e-12)
    assert sum(map(model.layer, times)) == pytest.approx(sum(times.values()))


def test_times_never_fall_when_channels_are_added_however_noisy_they_are() -> None:
    noise = torch.rand(1000, generator=torch.Generator().manual_seed(0)).tolist()
    times = {config: work(config) * (0.5 + noise[i]) for i, config in enumerate(grid([CONV]))}
    model = LatencyModel(times)
    at = {(i, o): model.layer(CONV.resized(i, o)) for i in range(65) for o in range(65)}
    for (i, o), (more, also) in itertools.product(at, ((1, 0), (0, 1))):
        if (i + more, o + also) in at:
            assert at[i, o] <= at[i + more, o + also] + 1e-9
    assert at[0, 64] == at[64, 0] == 0.0


def test_between_measured_widths_the_time_is_linear() -> None:
    model = LatencyModel({config: work(config) for config in grid([CONV])})
    middle = model.layer(CONV.resized(56, 40))
    corners = [work(CONV.resized(i, o)) for i in (48, 64) for o in (32, 48)]
    assert middle == pytest.approx(sum(corners) / 4)


def test_a_depthwise_layer_has_one_width() -> None:
    deep = LayerConfig("conv", 64, 64, 8, 8, (3, 3), padding=(1, 1), groups="depthwise")
    model = LatencyModel({config: float(config.inputs) for config in grid([deep])})
    assert [model.layer(deep.resized(width, width)) for width in (2, 4, 40, 64)] == [2, 4, 40, 64]


def taken(size: int, channels: int) -> int:
    """Channels in whole blocks of `size`."""
    return -(-channels // size) * size


@pytest.mark.parametrize("of_inputs", [1, 4, 8, 16])
@pytest.mark.parametrize("of_outputs", [1, 4, 8, 16])
def test_times_that_rise_in_steps_are_known_between_whole_vectors_too(
    of_inputs: int, of_outputs: int
) -> None:
    def stepped(config: LayerConfig) -> float:
        return (3 + taken(of_inputs, config.inputs)) * (5 + taken(of_outputs, config.outputs))

    parts = part_vectors({config: stepped(config) for config in part_probes([CONV])})
    model = LatencyModel({config: stepped(config) for config in grid([CONV])}, parts)
    aligned = range(4, 65, 4)
    for layer in (CONV.resized(i, o) for i in aligned for o in aligned if min(i, o) >= 16):
        assert model.layer(layer) == pytest.approx(stepped(layer), rel=1e-6), layer


def test_widths_that_are_no_multiple_of_4_take_what_one_of_them_was_measured_to_take() -> None:
    def slow(config: LayerConfig) -> float:
        return work(config) * (1.9 if config.inputs % 4 else 1.0)

    parts = part_vectors({config: slow(config) for config in part_probes([CONV])})
    model = LatencyModel({config: slow(config) for config in grid([CONV])}, parts)
    for inputs in (17, 30, 32, 42, 63):
        layer = CONV.resized(inputs, 64)
        assert model.layer(layer) == pytest.approx(slow(layer), rel=0.02)
    assert model.layer(CONV.resized(64, 42)) == pytest.approx(slow(CONV.resized(64, 42)), rel=0.05)


def test_the_table_says_the_same_once_it_was_stored() -> None:
    parts = part_vectors({config: work(config) for config in part_probes([CONV])})
    model = LatencyModel({config: work(config) for config in grid([CONV])}, parts)
    stored = LatencyModel.of(json.loads(json.dumps(model.as_list())))
    layers = [CONV.resized(i, o) for i in (3, 17, 40) for o in (16, 25, 64)]
    assert [*map(stored.layer, layers)] == [*map(model.layer, layers)]


def test_tables_that_say_nothing_of_parts_of_vectors_are_read_as_linear() -> None:
    model = LatencyModel({config: work(config) for config in grid([CONV])})
    told = [{name: value for name, value in one.items() if name != "parts"} for one in model.as_list()]
    stored = LatencyModel.of(json.loads(json.dumps(told)))
    assert stored.layer(CONV.resized(41, 57)) == pytest.approx(model.layer(CONV.resized(41, 57)))


@given(st.integers(0, 10_000), st.floats(4.0, 500.0))
def test_a_time_that_was_disturbed_is_found(number: int, factor: float) -> None:
    deep = LayerConfig("conv", 64, 64, 8, 8, (3, 3), padding=(1, 1), groups="depthwise")
    configs = grid([CONV, deep])
    times = [config.inputs + 7.0 if config.groups == "depthwise" else work(config) for config in configs]
    assert disturbed(configs, times) == []
    wrong = number % len(configs)
    times[wrong] *= factor
    assert disturbed(configs, times) == [wrong]


@pytest.mark.parametrize(
    ("whole", "left"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(1, 1, 3)),
        (nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(4, 4, 3, groups=4)),
    ],
    ids=["depthwise", "grouped"],
)
def test_what_is_left_of_a_layer_with_groups_is_known_as_that_layer(
    whole: nn.Conv2d, left: nn.Conv2d
) -> None:
    """With one channel left for each group it can't be told from a depthwise one, nor that from a dense one."""
    (before,), (after,) = (layer_configs(one, (one.in_channels, 6, 6))[""] for one in (whole, left))
    model = LatencyModel({config: float(config.inputs) for config in grid([before])})
    assert model.layer(after) == pytest.approx(left.in_channels)


def test_making_monotone_leaves_alone_what_is() -> None:
    assert monotone([[0.0, 1.0], [1.0, 3.0]]) == [[0.0, 1.0], [1.0, 3.0]]
    assert monotone([[0.0, 0.0, 0.0], [0.0, 5.0, 4.0]]) == [[0.0, 0.0, 0.0], [0.0, 4.5, 4.5]]


@pytest.mark.parametrize("size", BLOCKS)
def test_the_block_is_the_fewest_channels_that_save_time(size: int) -> None:
    steps = {config: float(-(-config.inputs // size) * size) ** 2 for config in probes()}
    assert block(steps) == size
    assert max(config.inputs for config in steps) == PROBE.inputs


@pytest.mark.parametrize("runtime", get_args(TargetRuntime))
def test_every_kind_of_layer_is_timed_in_a_process_of_its_own(runtime: TargetRuntime) -> None:
    configs = [
        LayerConfig("linear", 32, 10),
        LayerConfig("conv", 1, 8, 8, 8, (3, 3), padding=(1, 1)),
        LayerConfig("conv", 16, 16, 8, 8, (3, 3), (2, 2), (1, 1), groups="depthwise"),
        LayerConfig("conv", 8, 16, 8, 8, (1, 3), dilation=(1, 2), groups=4),
    ]
    # A warning filter or a thread count of this process must be nothing to the one that measures.
    before = torch.get_num_threads()
    times = layer_times([*configs, configs[0]], runtime=runtime, batch=2, threads=1)
    assert list(times) == configs
    assert all(0 < time < 1000 for time in times.values())
    assert torch.get_num_threads() == before


def test_a_layer_that_a_runtime_refuses_is_one_clear_error() -> None:
    impossible = LayerConfig("conv", 4, 4, 2, 2, (5, 5))
    with pytest.raises(SecateurError, match="layer"):
        layer_times([impossible], runtime="onnxruntime", batch=1, threads=1)


class Small(nn.Module):
    """Two convolutions, the second one depthwise, and a classifier."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.last = nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.deep(self.first(images)).mean((2, 3)))
        return out


def small(width: int = 8) -> nn.Module:
    return attached(Small(width), Architecture("small", 1, 10, (8, 8)))


def test_a_networks_time_is_that_of_its_layers_at_the_widths_that_are_left(tmp_path: Path) -> None:
    target, model = LatencyTarget(), small()
    groups = channel_graph(model).groups
    (group,) = groups
    first = LatencyCost(model, target, context_for(partial=tmp_path)).of(model, groups)
    kept = (tmp_path / "measurements.json").read_bytes()
    again = LatencyCost(model, target, context_for(partial=tmp_path)).of(model, groups)
    assert (tmp_path / "measurements.json").read_bytes() == kept, "nothing was measured anew"
    times = [first({group.name: left}) for left in range(1, group.units + 1)]
    assert times == [again({group.name: left}) for left in range(1, group.units + 1)]
    assert times == sorted(times)
    assert first({}) == times[-1] > 0
    pruned = small(4)
    direct = LatencyCost(model, target, context_for(partial=tmp_path)).of(
        pruned, channel_graph(pruned).groups
    )
    assert direct({}) == pytest.approx(first({group.name: 4}))


def test_the_preferred_multiple_is_recorded(tmp_path: Path) -> None:
    found = preferred_multiple(LatencyTarget(), context_for(partial=tmp_path))
    assert found in BLOCKS
    kept = (tmp_path / "measurements.json").read_bytes()
    assert preferred_multiple(LatencyTarget(), context_for(partial=tmp_path)) == found
    assert (tmp_path / "measurements.json").read_bytes() == kept


def test_a_measurement_is_taken_once_and_its_recorded_value_holds_after_a_restart(tmp_path: Path) -> None:
    values = iter([0.1 + 0.2, 5.0])
    assert context_for(partial=tmp_path).measured("a", lambda: (next(values), "x")) == [0.1 + 0.2, "x"]
    restarted = context_for(partial=tmp_path)
    assert restarted.measured("a", lambda: (next(values), "x")) == [0.1 + 0.2, "x"]
    assert restarted.measured("b", lambda: next(values)) == 5.0
    assert restarted.recorded() == {"a": [0.1 + 0.2, "x"], "b": 5.0}
