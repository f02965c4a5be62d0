"""`prune.channels`: whole channels removed, with everything coupled to them."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device, validate
from engine.compute.layers import overlays
from engine.compute.layers.copies import copied
from engine.compute.layers.masks import fold_below_masks_
from engine.compute.layers.shared import shared_layers, unshare_
from engine.compute.models import edits
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.channels import latency_target
from engine.compute.steps.channels.attention import heads_with_dimensions
from engine.compute.steps.channels.budget import budget_for, shares_left
from engine.compute.steps.channels.choose import (
    Candidate,
    Removal,
    Scope,
    least_of,
    ordered,
    step_of,
    units_gone,
)
from engine.compute.steps.channels.graph import Graph, channel_graph
from engine.compute.steps.channels.groups import Gone, Group
from engine.compute.steps.channels.importance import check_norms, importance
from engine.compute.steps.channels.latency_cost import VECTOR, preferred_multiple, rounding
from engine.compute.steps.channels.learning import learn
from engine.compute.steps.channels.named import chosen, ratios
from engine.compute.steps.channels.outcome import tell_named, tell_targets, tell_whole, whole_layers
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.compute.steps.channels.principal import turn_heads
from engine.compute.steps.channels.reconstruction import Reconstruction
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.channels.solved import proposals, solved
from engine.compute.steps.pruning.rounds import recover
from engine.compute.training.schedules import sparsities
from engine.errors import OutOfReach
from engine.params.channels import LatencyTarget, PruneChannels, ScaleLearning
from engine.params.clustering import ClusterFilters
from engine.params.pruning import Cubic, Linear, OneShot
from engine.results.latency_targets import MEASURE, within
from engine.text.phrases import counted, listed


def prune_channels(model: nn.Module, params: PruneChannels, context: Context) -> nn.Module:
    """Remove channels until the targets are reached; make up for them by what is left.

    Groups that can't be pruned rightly are left whole, with a notice. Raises OutOfReach when a target can't be
    reached.
    """
    pruning, graph = prepared(model, params, context)
    groups = graph.groups
    pruning.check()
    learn(model, groups, params.learning, context, pruning.first_choice)
    left = pruning.run()
    if params.layers:
        tell_named(params.layers, groups, left, context)
    else:
        tell_targets(pruning.budget, params, pruning.competing(groups), left, context)
    tell_whole(model, graph, params, context)
    context.observations["channels"] = [
        {"layer": before.name, "before": before.channels, "after": after.units * before.per_unit}
        for before, after in zip(groups, left, strict=True)
    ]
    context.scored = None
    # Where no channel went there is nothing to make up for. Refitted outputs are a little smaller than they were, by
    # what can't be made up for: statistics estimated anew would scale that up again, noise included.
    went = any(after.units < before.units for before, after in zip(groups, left, strict=True))
    if params.calibrate and went and not pruning.refitted:
        recalibrate(model, context)
    return model


def prepared(model: nn.Module, params: PruneChannels, context: Context) -> tuple["Pruning", Graph]:
    """Make `model` ready for channels to be taken out of it, in place: its pruning, and which can be."""
    # What is made ready may have other parameters and another latency than what was given and is asked about.
    given = copied(model)
    _make_plain(model, context)
    to_device(model, context.device)
    prepare_for_channels(model)
    if params.repair:
        turn_heads(model, context)
    graph = _graph(model, params, context)
    return Pruning(model, given, graph.groups, params, context), graph


def check_channels(model: nn.Module, groups: list[Group], params: PruneChannels, context: Context) -> None:
    """Raises SecateurError for what `params` ask for and the structure of `model` rules out, whatever its weights are.

    `model` is one that nothing was removed from, made ready for it, with the groups of its channels.
    """
    if params.criterion == "bn-scale":
        check_norms(model, groups, "criterion", "l2")
    if isinstance(params.learning, ScaleLearning):
        check_norms(model, groups, "learning", "group_sl")
    if params.latency is None:
        # Rates of a table are not known yet, and lead to no other targets.
        scope = params.scope if params.scope == "local" else "global"
        Pruning(model, model, groups, params.model_copy(update={"scope": scope}), context).check()


def _make_plain(model: nn.Module, context: Context) -> None:
    """Fold what layers share, of values, steps or filters, in weights of their own; masks stay."""
    made = [
        (kind.overlay.value, overlays.MADE_BY[kind.overlay], fold_below_masks_(model, kind.module))
        for kind in overlays.KINDS
        if kind.overlay in PruneChannels.clears
    ]
    sharing = list(shared_layers(model))
    unshare_(model)
    for name in sharing:
        edits.record(model, {"edit": edits.UNSHARE, "layer": name})
    for called, step, layers in (*made, ("shared filters", ClusterFilters.kind, sharing)):
        if layers:
            described = f"The {called} of {counted(len(layers), 'layer')} became plain weights"
            context.notice(
                "info",
                f"{described}: channels cannot be taken out of them, so put {step} after prune.channels",
            )


def _graph(model: nn.Module, params: PruneChannels, context: Context) -> Graph:
    graph = channel_graph(model, params.skip)
    reasons = set(graph.left_out.values())
    whole = whole_layers(model, graph, params.skip).items()
    # Layers that stay with a group that is left out are told with it.
    graph = replace(graph, left_out=graph.left_out | {name: why for name, why in whole if why in reasons})
    context.observations["whole"] = dict(graph.left_out)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in graph.left_out.items():
        by_reason[reason].append(name)
    for reason, names in by_reason.items():
        context.notice("warning", f"Left whole: {listed(names)}, because {reason}")
    return graph


@dataclass(frozen=True)
class Choice:
    """What a round may remove, and in which order."""

    candidates: list[Candidate]
    order: list[Removal]


@dataclass(frozen=True)
class Narrowing:
    """Networks with ever fewer channels: of each the units that are gone (`gone`), and the predicted share of the cost
    that is left (`shares`), from 1 on."""

    shares: list[float]
    gone: Callable[[int], Gone]


class Pruning:
    """One run of the step: its budget, against the model as it was `given`, and the rounds towards it."""

    def __init__(
        self,
        model: nn.Module,
        given: nn.Module,
        groups: list[Group],
        params: PruneChannels,
        context: Context,
    ) -> None:
        params = params.settled(classifier=context.data.task == "classification")
        assert params.scope != "auto"
        self._model, self._groups, self._params, self._context = model, groups, params, context
        self._scope: Scope | Literal["solved"] = params.scope
        self._whole = {group.name: group.units for group in groups}
        self._ratios = ratios(groups, params.layers)
        self._multiple = _multiple(params, context)
        self.budget = budget_for(model, given, groups, params, context)
        self._original = to_device(given, context.device) if params.latency is not None else None
        self.refitted = False
        """Whether layers that lost inputs make up for it."""

    def check(self) -> None:
        """Fail before anything is trained; whether a latency can be met, only measuring tells."""
        if self._params.latency is None and not self._ratios:
            self.budget.check(self._candidates(self._groups, {g.name: g.units for g in self._groups}))

    def competing(self, groups: list[Group]) -> list[Group]:
        """The groups that may lose units: where all lose the same share, not both an attention's heads and what is in
        them."""
        stay = heads_with_dimensions(groups) if self._scope == "local" else set()
        return [group for group in groups if group.name not in stay]

    def first_choice(self) -> Gone:
        """The units that would go if all were removed now."""
        return self._counted(self._groups, 0, 1.0)

    def run(self) -> list[Group]:
        """Each round removes what its share of the budget asks for; what goes is chosen anew each time."""
        groups, schedule = self._groups, self._params.schedule
        progress_after = self._progress_after_rounds()
        repair = Reconstruction(self._model) if self._params.repair else None
        for number, progress in enumerate(progress_after):
            gone = self._gone(groups, number, progress)
            if repair is not None:
                repair.note(groups, gone)
            with edits.resized(self._model):
                groups = shrink(self._model, groups, gone)
            to_device(self._model, self._context.device)
            last = number == len(progress_after) - 1
            between = None if last or isinstance(schedule, OneShot) or not schedule.epochs else schedule
            if repair is not None and (last or between is not None):
                self.refitted = repair.apply(self._model, self._context)
            if between is not None:
                recover(self._model, between, self._context, number)
                repair = Reconstruction(self._model) if self._params.repair else None
        return groups

    def _progress_after_rounds(self) -> list[float]:
        """The share of the way that is done after each round."""
        schedule = self._params.schedule
        match schedule:
            case OneShot():
                return [1.0]
            case Linear():
                return sparsities("linear", 0.0, 1.0, schedule.rounds)
            case Cubic():
                return sparsities("cubic", 0.0, 1.0, schedule.rounds)
            case _:
                assert_never(schedule)

    def _gone(self, groups: list[Group], number: int, progress: float) -> Gone:
        """The units that go in round `number`, which ends when the share `progress` of the way is done."""
        if self._original is None or progress < 1.0:
            return self._counted(groups, number, progress)
        if self._scope == "solved":
            return self._measured(
                self._original, groups, {"whole model, solved": self._proposed(groups, number)}
            )
        contenders = {"whole model": self._path(self.choice(groups, number, self._scope))}
        if self._scope == "cost":
            contenders["whole model, by importance alone"] = self._path(self.choice(groups, number, "global"))
        return self._measured(self._original, groups, contenders)

    def _path(self, choice: Choice) -> Narrowing:
        """The networks that an order of removals leads through."""
        (steered,) = self.budget.targets
        shares = shares_left(choice.candidates, choice.order, steered)
        return Narrowing(shares, lambda removals: units_gone(choice.order[:removals]))

    def _proposed(self, groups: list[Group], number: int) -> Narrowing:
        """Those that the solver proposes, at ever less of the predicted milliseconds."""
        (steered,), levels = self.budget.targets, self.budget.levels
        assert levels is not None
        networks = proposals(self._ranked(groups, number), levels, steered.cost)
        whole = {group.name: group.units for group in groups}
        left = [{name: units - len(gone.get(name, ())) for name, units in whole.items()} for gone in networks]
        return Narrowing([steered.cost(one) / steered.before for one in left], networks.__getitem__)

    def _counted(self, groups: list[Group], number: int, progress: float) -> Gone:
        """The units that go in round `number` by what layers are given, or the budget counts; nothing is timed."""
        budget = self.budget
        if self._ratios:
            so_far = {name: progress * ratio for name, ratio in self._ratios.items()}
            return chosen(self._scores(groups, number), self._whole, so_far)
        if self._scope != "solved":
            choice = self.choice(groups, number, self._scope)
            return units_gone(budget.taken(choice.candidates, choice.order, progress))
        candidates = self._ranked(groups, number)
        assert budget.levels is not None
        return solved(
            candidates, budget.levels, budget.cost, lambda left: budget.reached(candidates, left, progress)
        )

    def _measured(self, original: nn.Module, groups: list[Group], contenders: dict[str, Narrowing]) -> Gone:
        """The units whose removal makes the model as fast as the latency target asks, by measuring whole models.

        Of several orders of removal the one that costs less on validation images: times of single layers, by which
        scope cost orders, don't add up where a network is so small that a runtime's overhead counts.
        """
        target = self._params.latency
        assert target is not None
        reached = {
            name: self._as_fast(target, original, groups, contender, name)
            for name, contender in contenders.items()
        }
        met = {name: one for name, one in reached.items() if one.met}
        if not met:
            raise self._out_of_reach(target, max(one.speedup for one in reached.values()))
        # One that can only be much faster than asked has the lower loss by chance alone.
        near = {name: one for name, one in met.items() if within(one.speedup, target.speedup)} or met
        gone = {name: contenders[name].gone(one.removals) for name, one in near.items()}
        best = next(iter(gone)) if len(gone) == 1 else min(gone, key=lambda n: self._loss(groups, gone[n]))
        self._tell(target, reached[best])
        return gone[best]

    def _as_fast(
        self, target: LatencyTarget, original: nn.Module, groups: list[Group], path: Narrowing, name: str
    ) -> latency_target.Found:
        """How many removals, or how far along `path`, come nearest to the target."""

        def pruned(removals: int) -> nn.Module:
            model = copied(self._model)
            with edits.resized(model):
                shrink(model, groups, path.gone(removals))
            return to_device(model, self._context.device).eval()

        return latency_target.reach(target, original, pruned, path.shares, self._context, name)

    def _tell(self, target: LatencyTarget, reached: latency_target.Found) -> None:
        """Keep what was asked and measured with the result, and say where they differ."""
        self._context.observations[MEASURE] = {
            "asked": target.speedup,
            "measured": reached.speedup,
            "runtime": target.runtime,
            "batch": target.batch,
            "threads": torch.get_num_threads(),
        }
        if not within(reached.speedup, target.speedup):
            self._context.notice(
                "warning",
                f"Asked for {target.speedup:g}× in {target.runtime} at batch {target.batch}; the nearest that the "
                f"steps of round_to allow was measured as {reached.speedup:.2f}×",
            )

    def _out_of_reach(self, target: LatencyTarget, most: float) -> OutOfReach:
        limits = [f"floor {self._params.floor:g}", f"round_to {self._params.round_to}"]
        limits += [f"skip {listed(list(self._params.skip))}"] if self._params.skip else []
        reached = math.floor(most * 100) / 100
        return OutOfReach(
            ("latency", "speedup"),
            reached,
            f"{target.speedup:g}× in {target.runtime} at batch {target.batch} can't be met: at most {reached:g}× "
            f"with {', '.join(limits)}",
            "That is the fastest pruning that was measured, against the model before this step.",
            "Ask for less (latency.speedup), or allow more: a lower floor, a smaller round_to, a shorter skip.",
        )

    def _loss(self, groups: list[Group], gone: Gone) -> float:
        """The validation loss without these units, refitted and calibrated as the step does it."""
        model = copied(self._model)
        repair = Reconstruction(model) if self._params.repair else None
        if repair is not None:
            repair.note(groups, gone)
        shrink(model, groups, gone)
        to_device(model, self._context.device)
        refitted = repair is not None and repair.apply(model, self._context)
        if self._params.calibrate and not refitted:
            recalibrate(model, self._context)
        return validate(model, self._context).known_loss

    def choice(self, groups: list[Group], number: int, scope: Scope) -> Choice:
        """What may go, in its order, by the importance that it has in round `number`."""
        candidates = self._ranked(groups, number, relative=scope != "cost")
        order = ordered(candidates, scope, cost=self.budget.cost, levels=self.budget.levels)
        return Choice(candidates, order)

    def _ranked(self, groups: list[Group], number: int, *, relative: bool = True) -> list[Candidate]:
        """The candidates with the importance that their units have in round `number`."""
        scores = self._scores(groups, number, relative=relative)
        units = {name: len(own) for name, own in scores.items()}
        return [one.ranked(scores[one.name]) for one in self._candidates(groups, units)]

    def _scores(self, groups: list[Group], number: int, *, relative: bool = True) -> dict[str, Tensor]:
        criterion = self._params.criterion
        assert criterion != "auto"
        return importance(criterion, self._model, groups, self._context, number, relative=relative)

    def _round_to(self, channels: int) -> int:
        """What to round a layer of so many channels to."""
        return rounding(self._multiple, channels) if self._params.round_to == "auto" else self._multiple

    def _candidates(self, groups: list[Group], units: dict[str, int]) -> list[Candidate]:
        candidates = []
        for group in self.competing(groups):
            whole = self._whole[group.name]
            step = step_of(group.per_unit, self._round_to(whole * group.per_unit))
            least = least_of(whole, self._params.floor, step)
            candidates.append(
                Candidate(group.name, units[group.name], whole, group.per_unit, group.structure, least, step)
            )
        return candidates


def _multiple(params: PruneChannels, context: Context) -> int:
    if params.round_to == "auto":
        return VECTOR if params.latency is None else preferred_multiple(params.latency, context)
    return params.round_to
