"""What `prune.channels` says of itself: how far it came beside what was asked, and what stayed whole."""

from collections.abc import Mapping

from torch import nn

from engine.compute.context import Context
from engine.compute.layers.select import prunable_layers
from engine.compute.measures.counts import count
from engine.compute.steps.calibration.understood import tied
from engine.compute.steps.channels.budget import Budget
from engine.compute.steps.channels.graph import Graph, by_reason
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.named import group_of
from engine.compute.steps.channels.yolo import protected_layers
from engine.params.channels import PruneChannels
from engine.text.numbers import percent
from engine.text.phrases import listed

MUCH = 0.1
"""Share of MACs or parameters that is worth a note."""
NEAR = 0.05
"""Relative difference between asked and reached that is worth no warning."""


def tell_targets(
    budget: Budget, params: PruneChannels, before: list[Group], after: list[Group], context: Context
) -> None:
    """Keep with the result what was asked of the whole and what was reached, and say it; a latency is told where it is
    measured."""
    left = {group.name: group.units for group in after}
    targets = {
        target.name: {"asked": target.times, "reached": target.before / target.cost(left)}
        for target in budget.targets
        if target.name != "latency"
    }
    if not budget.targets:
        whole = sum(group.channels for group in before)
        # Of a group that another crosses a unit has fewer channels now: it still counts as one of those it was.
        gone = 1 - sum(left[group.name] * group.per_unit for group in before) / whole
        targets = {"ratio": {"asked": params.ratio, "reached": gone}}
    context.observations["targets"] = targets
    for name, one in targets.items():
        asked, reached = one["asked"], one["reached"]
        far = _is_far(asked, reached)
        times = "" if name == "ratio" else "×"
        why = ""
        if far:
            largest = max(before, key=lambda group: group.per_unit)
            why = ": channels go in whole steps"
            why += f" ({largest.name} in {largest.per_unit} at once)" if largest.per_unit > 1 else ""
            why += ", never below the floor"
        context.notice(
            "warning" if far else "info", f"{name}: asked {asked:g}{times}, reached {reached:.2f}{times}{why}"
        )


def _is_far(asked: float, reached: float) -> bool:
    return abs(reached - asked) > NEAR * max(asked, reached)


def tell_named(asked: Mapping[str, float], before: list[Group], after: list[Group], context: Context) -> None:
    """Say what share of their channels single layers were to lose, and what they lost."""
    left = {group.name: group.units for group in after}
    whole = {group.name: group.units for group in before}
    told: dict[bool, list[str]] = {False: [], True: []}
    for layer, ratio in asked.items():
        group = group_of(before, layer)
        reached = 1 - left[group] / whole[group]
        held = left[group] == 1 and reached < ratio
        told[held or _is_far(ratio, reached)].append(
            f"{layer} asked {ratio:g}, reached {reached:.2f} ({left[group]} of {whole[group]} left)"
        )
    if told[False]:
        context.notice("info", f"Channels of layers: {listed(told[False])}")
    if told[True]:
        context.notice(
            "warning", f"Channels of layers: {listed(told[True])}: channels go in whole steps, and one stays"
        )


def tell_whole(model: nn.Module, graph: Graph, params: PruneChannels, context: Context) -> None:
    """Keep with the result, and say, which layers keep all their channels, and why; add to what was found wrong."""
    # Groups that were tried and left whole were told then.
    whole = {
        name: why
        for name, why in whole_layers(model, graph, params.skip).items()
        if name not in graph.left_out
    }
    context.observations["whole"] = graph.left_out | whole
    if whole:
        context.notice("info", f"All channels stay in {by_reason(whole)}")


def whole_layers(model: nn.Module, graph: Graph, skip: tuple[str, ...]) -> dict[str, str]:
    """Layers that keep all the channels that they make, and why."""
    shrinking = {cut.module for group in graph.groups for cut in group.cuts if cut.role in ("out", "scale")}
    free, protected = prunable_layers(model, skip), protected_layers(model)
    shared = tied(model, free)

    def why(name: str) -> str:
        if name not in free:
            return "skip names it"
        if name in shared:
            return f"it has {shared[name]}"
        if name in protected:
            return "its channels have a meaning of their own"
        return graph.whole.get(name, "no pass shows what its channels are")

    layers = prunable_layers(model, ())
    # In the order of the graph's reasons, of which the plainest is last.
    order = dict.fromkeys([*(name for name in graph.whole if name in layers), *layers])
    return {name: why(name) for name in order if name not in shrinking}


def out_of_reach(model: nn.Module, graph: Graph, skip: tuple[str, ...], shape: tuple[int, ...]) -> str:
    """What share of the network's MACs and parameters is in layers that can neither make nor take fewer channels, and
    why; empty where that is less than `MUCH`."""
    cuts = {cut.tensor for group in graph.groups for cut in group.cuts if cut.role in ("out", "in", "scale")}
    counts = count(model, shape)
    skipped = prunable_layers(model, ()).keys() - prunable_layers(model, skip).keys()
    stuck = [
        one
        for one in counts.layers
        if one.shape and one.name not in cuts and one.name.rpartition(".")[0] not in skipped
    ]
    macs = sum(one.macs for one in stuck) / max(counts.macs, 1)
    parameters = sum(one.parameters for one in stuck) / max(counts.parameters, 1)
    if max(macs, parameters) < MUCH:
        return ""
    names = {one.name.rpartition(".")[0] or one.name for one in stuck}
    whole = {name: why for name, why in whole_layers(model, graph, skip).items() if name in names}
    whole |= dict.fromkeys(sorted(names - whole.keys()), "no step knows such layers")
    return (
        f"prune.channels reaches nothing of {percent(macs, 0)} of the MACs and {percent(parameters, 0)} of the "
        f"parameters: {by_reason(whole)}"
    )
