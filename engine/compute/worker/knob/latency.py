"""What a knob's networks would take, by the times that a `sensitivity` step of the study measured of single layers."""

from collections.abc import Mapping

from torch import nn

from engine.compute.latency.layers import LayerConfig, chained, layer_configs
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.steps.channels.cost import Cost
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.latency_cost import shrinking


class Predicted:
    """The latency of networks made of one model: that of the model, by the share of it that their layers take."""

    def __init__(
        self, times: NetworkTimes, model: nn.Module, shape: tuple[int, int, int], measured_ms: float | None
    ) -> None:
        """`measured_ms` is the model's own latency, where the study measured it. Raises KeyError for a model with a
        layer of a kind that was not timed."""
        self._times, self._shape, self.name = times, shape, times.name
        self._calls = layer_configs(model, shape)
        self._sum = sum(self._layer(config) for calls in self._calls.values() for config in calls)
        self.baseline = times.total(self._sum) if measured_ms is None else measured_ms

    def _layer(self, config: LayerConfig) -> float:
        return self._times.layers.layer(config)

    def _as_whole(self, layers: float) -> float:
        return self.baseline * self._times.total(layers) / self._times.total(self._sum)

    def narrower(self, model: nn.Module, groups: list[Group]) -> Cost:
        """Milliseconds of `model` by what is left of its groups."""
        layers = shrinking(model, groups, self._shape, self._times.layers)
        return lambda left: self._as_whole(sum(layer.time(left) for layer in layers))

    def of_ranks(self, ranks: Mapping[str, int]) -> float:
        """Milliseconds with a chain of that rank in the place of each layer that is named."""
        saved = 0.0
        for name, rank in ranks.items():
            for config in self._calls.get(name, ()):
                saved += self._layer(config) - sum(map(self._layer, chained(config, rank)))
        return self._as_whole(self._sum - saved)
