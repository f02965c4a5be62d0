"""The line from the times of layers to those of networks."""

import pytest

from engine.compute.latency.layer_times import LatencyModel
from engine.compute.latency.layers import LayerConfig
from engine.compute.latency.network_times import NetworkTimes, _line
from engine.measures.layer_times import in_network

LAYERS = 4
LEAST = 0.05


def predicted(layers: float, number: int, line: tuple[float, float, float]) -> float:
    each, fixed, factor = line
    return in_network(layers + number * each, fixed, factor)


@pytest.mark.parametrize(
    ("sums", "times"),
    [
        (
            [4.0, 2.0, 1.0],
            [5.0, 3.0, 2.0],
        ),  # layers take longer than alone: they wait for each other's threads
        ([4.0, 2.0, 1.0], [8.0, 3.0, 1.2]),  # wide layers hinder each other
        ([4.0, 2.0, 1.0], [3.0, 1.5, 0.75]),  # together faster than alone
        ([4.0, 2.0, 1.0], [3.9, 1.9, 0.9]),  # and the more so the narrower: no layer starts anew
        ([4.0, 3.9], [5.0, 1.0]),  # too near each other to say anything
        ([4.0], [2.0]),
    ],
)
def test_the_line_goes_through_the_whole_network_and_rises(sums: list[float], times: list[float]) -> None:
    line = _line(sums, times, LAYERS, LEAST)
    assert predicted(sums[0], LAYERS, line) == pytest.approx(times[0])
    found = [predicted(layers, LAYERS, line) for layers in (*sums, 0.5, LAYERS * LEAST)]
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 0


@pytest.mark.parametrize("start", [-0.04, 0.3])
def test_what_each_layer_adds_is_told_from_few_networks_and_holds_for_chains_of_more_layers(
    start: float,
) -> None:
    sums = [4.0, 2.0, 1.0]
    line = _line(sums, [0.9 * layers + LAYERS * start for layers in sums], LAYERS, LEAST)
    for layers, number in ((4.0, LAYERS), (1.5, LAYERS), (3.0, 2 * LAYERS)):
        assert predicted(layers, number, line) == pytest.approx(0.9 * layers + number * start)


def test_narrow_networks_that_gain_more_than_their_layers_are_met() -> None:
    sums, times = [4.0, 2.0, 1.0], [8.0, 3.0, 1.2]
    line = _line(sums, times, LAYERS, LEAST)
    for layers, measured in zip(sums, times, strict=True):
        assert predicted(layers, LAYERS, line) == pytest.approx(measured, rel=0.25)
    # That is no start of a layer: two in the place of one do not begin twice below zero.
    assert predicted(4.0, 2 * LAYERS, line) == pytest.approx(8.0)


def test_what_is_added_to_layers_is_kept_with_them() -> None:
    layer = LayerConfig("conv", 8, 8, 4, 4)
    alone = LatencyModel({layer.resized(wide, tall): wide * tall / 64 for wide in (4, 8) for tall in (4, 8)})
    times = NetworkTimes("latency.onnxruntime.1", alone.plus(-0.1), 0.0, 1.0)
    assert alone.least == 0.25
    again = NetworkTimes.told(times.as_dict())
    for found in (times, again):
        assert found.layers.layer(layer) == pytest.approx(0.9)
        assert found.layers.layer(layer.resized(0, 8)) == 0
