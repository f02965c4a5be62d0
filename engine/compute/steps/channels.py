"""`prune.channels`: whole channels removed, with everything coupled to them."""

from typing import assert_never

from torch import nn

from engine.compute import edits
from engine.compute.channels.budget import Budget, budget_for
from engine.compute.channels.choose import Candidate, least_of, ordered, step_of, units_gone
from engine.compute.channels.goal import LatencyGoal
from engine.compute.channels.graph import channel_graph
from engine.compute.channels.groups import Group
from engine.compute.channels.importance import importance, listed
from engine.compute.channels.learning import learn
from engine.compute.channels.milliseconds import preferred_multiple, rounding
from engine.compute.channels.shrink import shrink
from engine.compute.context import Context, place
from engine.compute.schedules import sparsities
from engine.compute.steps.pruning import recover
from engine.compute.steps.repair import calibrate
from engine.params.channels import PruneChannels
from engine.params.pruning import Cubic, Linear, OneShot
from engine.params.repair import Calibrate


def prune_channels(model: nn.Module, params: PruneChannels, context: Context) -> nn.Module:
    """Remove channels until the targets are reached; afterwards estimate BatchNorm's statistics anew.

    Raises SecateurError when a target can't be reached, with the most that can.
    """
    place(model, context.device)
    groups = _groups(model, params, context)
    whole = {group.name: group.units for group in groups}
    budget = budget_for(model, groups, params)
    goal = None
    if params.latency is not None:
        goal = LatencyGoal(model, groups, budget, params, context)
        budget = goal.budget
    else:
        _check_reachable(model, groups, whole, budget, params, context)
    learn(model, groups, params, context, budget)
    with edits.resized(model):
        left = _in_rounds(model, groups, whole, budget, params, context, goal)
    context.found["channels"] = [
        {"layer": old.name, "before": old.channels, "after": new.channels}
        for old, new in zip(groups, left, strict=True)
    ]
    context.scored = None
    if params.calibrate and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        calibrate(model, Calibrate(), context)
    return model


def _groups(model: nn.Module, params: PruneChannels, context: Context) -> list[Group]:
    graph = channel_graph(model, params.skip)
    if graph.left_out:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(graph.left_out.items())[:3])
        context.notice("warning", f"Left whole: {listed(list(graph.left_out))} ({reasons})")
    return graph.groups


def candidates(
    model: nn.Module,
    groups: list[Group],
    whole: dict[str, int],
    params: PruneChannels,
    context: Context,
    number: int,
) -> list[Candidate]:
    """The groups with their units' importance, as round `number` chooses among them."""
    scores = importance(params.criterion, model, groups, context, number)
    found = []
    for group in groups:
        channels = whole[group.name] * group.per_unit
        step = step_of(group.per_unit, _round_to(params, channels, context))
        least = least_of(whole[group.name], params.floor, step)
        found.append(
            Candidate(
                group.name,
                scores[group.name],
                whole[group.name],
                group.per_unit,
                group.structure,
                least,
                step,
            )
        )
    return found


def _round_to(params: PruneChannels, channels: int, context: Context) -> int:
    """What a layer that had so many channels is rounded to."""
    if isinstance(params.round_to, int):
        return params.round_to
    assert params.latency is not None
    return rounding(preferred_multiple(params.latency, context), channels)


def _check_reachable(
    model: nn.Module,
    groups: list[Group],
    whole: dict[str, int],
    budget: Budget,
    params: PruneChannels,
    context: Context,
) -> None:
    """Fail before anything is trained, not after."""
    budget.check(candidates(model, groups, whole, params.model_copy(update={"criterion": "l1"}), context, 0))


def _in_rounds(
    model: nn.Module,
    groups: list[Group],
    whole: dict[str, int],
    budget: Budget,
    params: PruneChannels,
    context: Context,
    goal: LatencyGoal | None,
) -> list[Group]:
    """Each round removes what its share of the budget asks for; what goes is chosen anew each time.

    A latency `goal` is measured out before the first removals and anew before the last.
    """
    schedule = params.schedule
    match schedule:
        case OneShot():
            targets = [1.0]
        case Linear():
            targets = sparsities("linear", 0.0, 1.0, schedule.rounds)
        case Cubic():
            targets = sparsities("cubic", 0.0, 1.0, schedule.rounds)
        case _:
            assert_never(schedule)
    for number, target in enumerate(targets):
        choice = candidates(model, groups, whole, params, context, number)
        order = ordered(choice, params.scope, cost=budget.cost, shares=budget.shares)
        if goal is not None and number in (0, len(targets) - 1):
            budget = goal.found(model, groups, choice, order, f"round {number + 1}")
        groups = shrink(model, groups, units_gone(order, budget.taken(choice, order, target)))
        place(model, context.device)
        if not isinstance(schedule, OneShot):
            context.progress((number + 1) / len(targets), f"round {number + 1}/{len(targets)}")
            if number < len(targets) - 1:
                recover(model, schedule, context, number)
    return groups
