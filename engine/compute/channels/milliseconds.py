"""What a network's layers cost in measured milliseconds, for pruning where it buys time."""

from collections.abc import Mapping

import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.measure.layer_config import LayerConfig, layer_configs
from engine.compute.measure.layer_times import LatencyModel, block, grid, layer_times, probes
from engine.compute.models import architecture
from engine.params.channels import LatencyTarget

Widths = Mapping[str, tuple[int, int]]
"""Inputs and outputs of layers by name; a layer that is not named has those of the model."""


class Milliseconds:
    """The time of `model` with other widths, as the sum of its layers' times in `target.runtime`.

    Layers are measured at once, or their times taken from the record (`Context.measured`, under `layers`). To be
    called under `engine.hostlock.exclusive`.
    """

    def __init__(self, model: nn.Module, target: LatencyTarget, context: Context) -> None:
        arch = architecture(model)
        self._layers = layer_configs(model, (arch.channels, *arch.size))
        needed = grid(config for calls in self._layers.values() for config in calls)
        self._model = LatencyModel(timed(needed, target, context, "layers"))
        self._known: dict[LayerConfig, float] = {}

    def __call__(self, widths: Widths) -> float:
        """Milliseconds of one forward pass at these widths."""
        return sum(self._time(name, widths.get(name)) for name in self._layers)

    def _time(self, name: str, width: tuple[int, int] | None) -> float:
        calls = self._layers[name]
        return sum(self._call(config if width is None else config.resized(*width)) for config in calls)

    def _call(self, config: LayerConfig) -> float:
        # A search asks for the same few widths again and again.
        if config not in self._known:
            self._known[config] = self._model.layer(config)
        return self._known[config]


def preferred_multiple(target: LatencyTarget, context: Context) -> int:
    """The multiple of channels that `target.runtime` likes on this machine, found by timing a few layers."""
    return block(timed(probes(), target, context, "preferred multiple"))


def timed(
    configs: list[LayerConfig], target: LatencyTarget, context: Context, name: str
) -> dict[LayerConfig, float]:
    """Milliseconds of each layer, recorded under `name`."""

    def measure() -> list[float]:
        context.progress(0.0, f"timing {len(configs)} layers in {target.runtime}")
        times = layer_times(
            configs,
            runtime=target.runtime,
            batch=target.batch,
            threads=torch.get_num_threads(),
            device=str(context.device),
        )
        return [times[config] for config in configs]

    return dict(zip(configs, context.measured(name, measure), strict=True))
