"""A network with any numbers of its channels, as plain values: what it costs, and what it takes in a runtime."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from engine.compute.context import Context, to_device
from engine.compute.latency.layers import LayerConfig, all_configs, chained
from engine.compute.latency.network_times import NetworkTimes, measure
from engine.compute.layers.copies import copied
from engine.compute.layers.shared import unshare_
from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.steps.channels.choose import step_of
from engine.compute.steps.channels.cost import Predictor
from engine.compute.steps.channels.graph import Graph, channel_graph
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.latency_cost import VECTOR, rounding, shrinking
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.channels.shrink import shrink
from engine.params.channels import LatencyTarget

WIDTHS = (0.5, 0.25)
"""Shares of all channels in the networks that are measured whole, beside the network as it is."""


def shrinkable(model: nn.Module, skip: tuple[str, ...]) -> tuple[nn.Module, list[Group]]:
    """A copy of the model from which channels can be taken, and their groups: see `with_graph`."""
    prepared, graph = with_graph(model, skip)
    return prepared, graph.groups


def with_graph(model: nn.Module, skip: tuple[str, ...]) -> tuple[nn.Module, Graph]:
    """A copy of the model from which channels can be taken, and which; `skip` names layers that keep theirs.

    Raises SecateurError where none can be taken.
    """
    prepared = unshare_(copied(model))
    prepare_for_channels(prepared)
    return prepared, channel_graph(prepared, skip)


def measured_times(
    model: nn.Module,
    groups: list[Group],
    also: Iterable[LayerConfig],
    target: LatencyTarget,
    context: Context,
) -> NetworkTimes:
    """Times of `model` at all smaller widths, of chains of lower rank in the place of its layers, and of the layers
    that are `also` asked for. To be called under `engine.machine.lock.exclusive`."""
    arch = architecture(model)
    configs = all_configs(model, (arch.channels, *arch.size))
    chains = [part for one in configs if one.group_count == 1 for part in chained(one, one.outputs)]
    narrower = [partial(_narrower, model, groups, share) for share in WIDTHS if groups]
    return measure(model, narrower, [*chains, *also], target, context)


def _narrower(model: nn.Module, groups: list[Group], share: float) -> nn.Module:
    """The network with about this share of each group's channels; which ones, makes no difference in time."""
    narrow = copied(model)
    with edits.resized(narrow):
        gone = {one.name: torch.arange(max(round(share * one.units), 1), one.units) for one in groups}
        shrink(narrow, groups, {name: units for name, units in gone.items() if len(units)})
    return to_device(narrow, next(model.parameters()).device).eval()


def widths(model: nn.Module, groups: list[Group], times: NetworkTimes | None) -> dict[str, Any]:
    """What `engine.search.widths` counts by: parameters, MACs and, with `times`, milliseconds at any widths. A multiple
    of a group's `steps` is best left of its units, for runtimes."""
    arch = architecture(model)
    shape = (arch.channels, arch.size[0], arch.size[1])
    found = Predictor(model, groups, shape).as_dict()
    found["steps"] = {one.name: step_of(one.per_unit, rounding(VECTOR, one.channels)) for one in groups}
    if times is not None:
        found["layers"] = [one.as_dict() for one in shrinking(model, groups, shape, times.layers)]
    return found
