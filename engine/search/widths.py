"""What a network costs with other numbers of channels, counted exactly from what a `sensitivity` step left of it.

Costs are sums of products of two groups' widths, so what groups save alone neither adds up nor multiplies.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from engine.measures.layer_times import Grid, in_network

Left = Mapping[str, int]
"""Units that are left of groups, by name; of one that is not named, all."""
WIDTHS = "crossing widths"
"""Where a step's findings have them."""


def gone_at(units: int, rate: float) -> int:
    """How many of a group's units are gone at a rate, to the nearest; one stays.

    >>> gone_at(16, 0.3), gone_at(3, 0.9)
    (5, 2)
    """
    return min(round(rate * units), units - 1)


class Widths:
    """`told` is what `engine.compute.steps.channels.narrower.widths` gave, `times` what layers take, if it is known."""

    def __init__(self, told: Mapping[str, Any], times: Mapping[str, Any] | None) -> None:
        self.units: dict[str, int] = dict(told["units"])
        self.steps: dict[str, int] = dict(told.get("steps", {}))
        self._axes: list[list[list[Any]]] = told["axes"]
        self._terms, self._fixed = told["terms"], told["fixed"]
        self._layers, self._times = told.get("layers", ()), times

    @cached_property
    def _grids(self) -> dict[str, Grid]:
        return {_kind(one["layer"]): Grid.of(one) for one in (self._times or {}).get("kinds", ())}

    @cached_property
    def whole(self) -> dict[str, float]:
        """The amounts of the network as it is."""
        return self.amounts({})

    def amounts(self, left: Left) -> dict[str, float]:
        """Parameters, multiply-accumulates and, by its name, the latency in milliseconds."""
        widths = [_width(axis, self.units, left) for axis in self._axes]
        macs, parameters = self._fixed
        for of_macs, of_parameters, axes in self._terms:
            product = math.prod(widths[axis] for axis in axes)
            macs, parameters = macs + of_macs * product, parameters + of_parameters * product
        found = {"macs": macs, "parameters": parameters}
        if self._times is not None and self._layers:
            total = sum(self._time(layer, left) for layer in self._layers)
            found[self._times["name"]] = in_network(total, self._times["fixed"], self._times["factor"])
        return found

    def _time(self, layer: Mapping[str, Any], left: Left) -> float:
        config = layer["layer"]
        inputs, outputs, groups = config["inputs"], config["outputs"], config["groups"]
        tall, wide = (_width(layer[end], self.units, left) for end in ("in", "out"))
        tall = wide * inputs // outputs if groups == "depthwise" else groups * tall
        return self._grids[_kind(config)].at(tall, wide)


def _width(axis: list[list[Any]], units: Mapping[str, int], left: Left) -> int:
    """What is left of an axis of which so many positions go with a unit of any of these groups, which cross evenly."""
    left_of = {name: left.get(name, units[name]) / units[name] for _, names in axis for name in names}
    width = sum(int(count) * math.prod(left_of[name] for name in names) for count, names in axis)
    return round(width)


def _kind(config: Mapping[str, Any]) -> str:
    """What of a layer decides its grid: all but its widths; a depthwise layer's are one of each other."""
    ratio = config["outputs"] // config["inputs"] if config["groups"] == "depthwise" else 0
    return repr((ratio, *(config[name] for name in sorted(config) if name not in ("inputs", "outputs"))))
