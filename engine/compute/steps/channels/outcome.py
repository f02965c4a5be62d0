"""What `prune.channels` says of itself: how far it came beside what was asked, and what stayed whole."""

from torch import nn

from engine.compute.context import Context
from engine.compute.layers.select import prunable_layers
from engine.compute.steps.calibration.understood import tied
from engine.compute.steps.channels.budget import Budget
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.yolo import protected_layers
from engine.params.channels import PruneChannels
from engine.text.phrases import listed

NEAR = 0.05
"""Relative difference between asked and reached that is worth no warning."""


def tell_targets(
    budget: Budget, params: PruneChannels, before: list[Group], after: list[Group], context: Context
) -> None:
    """Keep with the result what was asked of the whole and what was reached, and say it; a latency is told where it is
    measured, and what single layers were given is what they have."""
    if params.layers:
        return
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
        far = abs(reached - asked) > NEAR * max(asked, reached)
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


def tell_whole(model: nn.Module, groups: list[Group], params: PruneChannels, context: Context) -> None:
    """Keep with the result, and say, which layers keep all their channels, and why; add to what was found wrong."""
    shrinking = {cut.module for group in groups for cut in group.cuts if cut.role in ("out", "scale")}
    free, protected = prunable_layers(model, params.skip), protected_layers(model)
    shared = tied(model, free)
    refused: dict[str, str] = context.observations.get(
        "whole", {}
    )  # told already, when the groups were tried
    by_reason: dict[str, list[str]] = {}
    for name in prunable_layers(model, ()):
        if name not in shrinking and name not in refused:
            why = "skip names it" if name not in free else _why(name, protected, shared)
            by_reason.setdefault(why, []).append(name)
    context.observations["whole"] = refused | {
        name: why for why, names in by_reason.items() for name in names
    }
    if by_reason:
        text = "; ".join(f"{listed(names)}, because {why}" for why, names in by_reason.items())
        context.notice("info", f"All channels stay in {text}")


def _why(name: str, protected: set[str], shared: dict[str, str]) -> str:
    if name in shared:
        return f"it has {shared[name]}"
    if name in protected:
        return "its channels have a meaning of their own"
    return "it makes the output, or its channels are tied to what can't shrink"
