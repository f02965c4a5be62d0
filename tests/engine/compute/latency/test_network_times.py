"""The line from the times of layers to those of networks."""

import pytest

from engine.compute.latency.network_times import _line
from engine.measures.layer_times import in_network


@pytest.mark.parametrize(
    ("sums", "times"),
    [
        ([4.0, 2.0, 1.0], [5.0, 3.0, 2.0]),  # a millisecond that no layer takes
        ([4.0, 2.0, 1.0], [8.0, 3.0, 1.2]),  # wide layers hinder each other: the line begins below zero
        ([4.0, 2.0, 1.0], [3.0, 1.5, 0.75]),  # together faster than alone
        ([4.0, 2.0, 1.0], [3.0, 0.5, 0.1]),  # and the more so the narrower, which only noise can make
        ([4.0, 3.9], [5.0, 1.0]),  # too near each other to say anything
        ([4.0], [2.0]),
    ],
)
def test_the_line_goes_through_the_whole_network_and_never_below_its_layers(
    sums: list[float], times: list[float]
) -> None:
    fixed, factor = _line(sums, times)
    assert in_network(sums[0], fixed, factor) == pytest.approx(times[0])
    predicted = [in_network(layers, fixed, factor) for layers in (*sums, 0.5, 0.0)]
    assert predicted == sorted(predicted, reverse=True)
    assert all(one >= min(factor, 1.0) * layers for one, layers in zip(predicted, sums, strict=False))


def test_narrow_networks_that_gain_more_than_their_layers_are_met() -> None:
    sums, times = [4.0, 2.0, 1.0], [8.0, 3.0, 1.2]
    fixed, factor = _line(sums, times)
    for layers, measured in zip(sums, times, strict=True):
        assert in_network(layers, fixed, factor) == pytest.approx(measured, rel=0.2)
