"""What a network's layers cost in measured milliseconds, for pruning where it buys time."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from engine.compute.context import Context
from engine.compute.latency.layer_times import LatencyModel, block, probes
from engine.compute.latency.layers import LayerConfig, all_configs, layer_configs
from engine.compute.latency.network_times import latency_model, timed
from engine.compute.models.architecture import architecture
from engine.compute.steps.channels.cost import Cost
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.widths import Axis, Widths
from engine.params.channels import LatencyTarget

Left = Mapping[str, int]
"""How many units are left of groups, by name; a group that is not named has all of its own."""

VECTOR = 8
"""Channels that every runtime here computes in one go: a vector of AVX2, half of one of AVX-512. A layer of 9 takes as
long as one of 16, and leaves the layout of blocks that runtimes choose for multiples."""
QUARTERS = 4
"""Steps that a narrow layer can shrink in."""


class LatencyCost:
    """The time of a network in `target.runtime`, at any smaller widths, as the sum of its layers' times.

    Layers of `model`, the network before any pruning, are measured at once, or their times are taken from the
    record (`Context.measured`). To be made under `engine.machine.lock.exclusive`.
    """

    def __init__(self, model: nn.Module, target: LatencyTarget, context: Context) -> None:
        arch = architecture(model)
        self._shape = (arch.channels, arch.size[0], arch.size[1])
        self._model = latency_model(all_configs(model, self._shape), target, context)

    def of(self, model: nn.Module, groups: list[Group]) -> Cost:
        """The predicted milliseconds of `model`, pruned already or not, by what is left of its `groups`."""
        layers = shrinking(model, groups, self._shape, self._model)
        return lambda left: sum(layer.time(left) for layer in layers)


def shrinking(
    model: nn.Module, groups: list[Group], shape: tuple[int, int, int], times: LatencyModel
) -> list["ShrinkingLayer"]:
    """Every call of a layer of `model` on an image of `shape`. Raises KeyError for a kind that `times` does not have,
    when its time is asked for."""
    weights = dict(model.named_parameters())
    return [
        ShrinkingLayer(config, groups, name if name in weights else f"{name}.weight", times.layer)
        for name, calls in layer_configs(model, shape).items()
        for config in calls
    ]


class ShrinkingLayer:
    """One call of a layer, whose widths go with what is left of the groups."""

    def __init__(
        self,
        config: LayerConfig,
        groups: list[Group],
        weight: str,
        predict: Callable[[LayerConfig], float],
    ) -> None:
        self._config = config
        # A grouped convolution's weight has the inputs of one of its groups.
        inputs = 1 if config.groups == "depthwise" else config.inputs // config.group_count
        axes = [Axis(weight, 0, config.outputs), Axis(weight, 1, inputs)]
        self._left = Widths(groups, axes)
        self._predict = predict
        self._known: dict[tuple[int, int], float] = {}

    def time(self, left: Left) -> float:
        widths = self._widths(left)
        if widths not in self._known:  # a search asks for the same few widths again and again
            self._known[widths] = self._predict(self._config.resized(*widths))
        return self._known[widths]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for `engine.search.widths`: its config, and with what groups its widths go."""
        outputs, inputs = self._left.as_lists()
        return {"layer": asdict(self._config), "in": inputs, "out": outputs}

    def _widths(self, left: Left) -> tuple[int, int]:
        config = self._config
        outputs, inputs = map(int, self._left(left).tolist())
        if config.groups == "depthwise":
            return outputs * config.inputs // config.outputs, outputs
        return inputs * config.group_count, outputs


def preferred_multiple(target: LatencyTarget, context: Context) -> int:
    """The multiple of channels that `target.runtime` likes on this machine, found by timing a few layers."""
    return block(timed(probes(), target, context, "preferred multiple"))


def rounding(multiple: int, channels: int) -> int:
    """What a layer of so many channels is rounded to, where the runtime prefers `multiple`.

    A layer of few vectors would keep or lose all of them, so it is rounded to a quarter of its own width at
    most: part of a vector saves less than a whole one, but still saves where the layer's output is an input.

    >>> [rounding(16, channels) for channels in (3, 16, 24, 32, 64, 512)]
    [1, 4, 4, 8, 16, 16]
    """
    return min(multiple, 1 << max(channels // QUARTERS, 1).bit_length() - 1)
