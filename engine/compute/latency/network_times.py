"""What whole networks take by the measured times of their layers.

A layer alone in a session is not what it is in a network: it starts anew with each call, waits for no other layer's
threads, and has the cache for itself. So each layer counts times a factor, and a constant is added to it: a line
through the times of a few whole networks of different widths. That the constant is each layer's, and not the network's,
is what tells chains of two layers from the one that they stand for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.latency.bench import Bench
from engine.compute.latency.layer_times import LatencyModel, grid, layer_times
from engine.compute.latency.layers import LayerConfig, all_configs
from engine.compute.latency.part_vectors import part_probes, part_vectors
from engine.compute.models.architecture import architecture
from engine.machine import private
from engine.measures.latency import of_baseline
from engine.measures.layer_times import in_network
from engine.params.channels import LatencyTarget

LEAST_SPREAD = 0.1
"""Share by which the sums of two networks' layers differ at least, for a line through them to mean anything."""
FACTORS = (0.3, 3.0)
"""What a layer in a network may take of its time alone; outside, noise made the line."""


class NetworkTimes:
    """Milliseconds of networks whose layers are of known kinds, at most as wide as those that were measured.

    A network takes `factor` of its `layers` in sum, and `fixed` milliseconds are taken by none, which are less than
    nothing where wide layers hinder each other. `name` is what measures call the latency, such as
    `latency.onnxruntime.1`.
    """

    def __init__(self, name: str, layers: LatencyModel, fixed: float, factor: float) -> None:
        self.name, self.layers, self.fixed, self.factor = name, layers, fixed, factor

    def total(self, layers: float) -> float:
        """Of a network whose layers take so much in sum."""
        return in_network(layers, self.fixed, self.factor)

    def of(self, model: nn.Module) -> float:
        """Of a network. Raises KeyError where a layer is of a kind that was not measured."""
        arch = architecture(model)
        configs = all_configs(model, (arch.channels, *arch.size))
        return self.total(sum(self.layers.layer(config) for config in configs))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"name": self.name, "fixed": self.fixed, "factor": self.factor, "kinds": self.layers.as_list()}

    @classmethod
    def told(cls, found: Mapping[str, Any]) -> "NetworkTimes":
        """From what `as_dict` gave."""
        layers = LatencyModel.of(found["kinds"])
        return cls(str(found["name"]), layers, float(found["fixed"]), float(found["factor"]))


def measure(
    model: nn.Module,
    narrower: Sequence[Callable[[], nn.Module]],
    also: Iterable[LayerConfig],
    target: LatencyTarget,
    context: Context,
) -> NetworkTimes:
    """Times of `model` and of every narrower network, in the runtime of `target` at its batch.

    Measured are the layers of `model` and those that are `also` asked for, over all their widths, and as whole networks
    `model` and a few that are `narrower`. Whatever was recorded before is taken from the record (`Context.measured`).
    To be called under `engine.machine.lock.exclusive`.
    """
    arch = architecture(model)
    configs = all_configs(model, (arch.channels, *arch.size))
    layers = latency_model([*configs, *also], target, context)
    name = f"latency.{target.runtime}.{target.batch}"
    alone = NetworkTimes(name, layers, 0.0, 1.0)
    networks = [made() for made in narrower]
    sums = [alone.of(network) for network in (model, *networks)]
    with private.scratch() as folder:
        bench = Bench(target, model, folder, context)
        rows = [
            context.measured(f"network {number}", partial(bench.row, number, partial(_as_it_is, network)))
            for number, network in enumerate(networks or [model])
        ]
    whole = float(np.median([of_baseline(row)["median_ms"] for row in rows]))
    # Beside the original each was measured with its own row of it: so that what disturbs both cancels.
    times = [
        whole,
        *(whole * row["median_ms"] / of_baseline(row)["median_ms"] for row in rows[: len(networks)]),
    ]
    each, fixed, factor = _line(sums, times, len(configs), layers.least)
    return NetworkTimes(name, layers.plus(each), fixed, factor)


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


def _line(
    sums: Sequence[float], times: Sequence[float], layers: int, least: float
) -> tuple[float, float, float]:
    """What is added to each layer's time, what no layer takes, and the factor of what layers take then.

    The line goes through the first network's time exactly, and near the others'; all have as many `layers`. No more is
    taken from a layer than the `least` that any takes, which is its start: what is left begins below zero, and so does
    the line of layers that hinder each other the more the wider they are.
    """
    across, up = np.asarray(sums[1:]) - sums[0], np.asarray(times[1:]) - times[0]
    far = np.abs(across) >= LEAST_SPREAD * sums[0]
    if not far.any():  # one point: through zero if layers are faster together
        factor = min(times[0] / sums[0], 1.0)
    else:
        factor = float((across[far] * up[far]).sum() / (across[far] ** 2).sum())
    factor = min(max(factor, FACTORS[0]), FACTORS[1])
    rest = times[0] / factor - sums[0]
    if factor > 1 and rest < 0:  # wide layers hinder each other, of which the starts of layers are no part
        rest = min(times[0] - sums[0], 0.0)
    each = max(rest / layers, -least)
    return each, times[0] - factor * (sums[0] + each * layers), factor


def latency_model(configs: list[LayerConfig], target: LatencyTarget, context: Context) -> LatencyModel:
    """Times of these layers at any narrower widths, recorded."""
    parts = part_vectors(timed(part_probes(configs), target, context, "part vectors"))
    return LatencyModel(timed(grid(configs), target, context, "layers"), parts)


def timed(
    configs: list[LayerConfig], target: LatencyTarget, context: Context, name: str
) -> dict[LayerConfig, float]:
    """Milliseconds of each layer, recorded under `name`."""

    def measure_all() -> list[float]:
        context.progress(0.0, f"timing {len(configs)} layers in {target.runtime}")
        times = layer_times(
            configs,
            runtime=target.runtime,
            batch=target.batch,
            threads=torch.get_num_threads(),
            device=str(context.device),
        )
        return [times[config] for config in configs]

    return dict(zip(configs, context.measured(name, measure_all), strict=True))
