"""When to stop removing channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from engine.compute.context import Context
from engine.compute.measures.counts import count
from engine.compute.models.architecture import architecture
from engine.compute.steps.channels.choose import (
    Candidate,
    Levels,
    Removal,
    at_share,
    share_gone,
    until,
    without_spare,
)
from engine.compute.steps.channels.cost import Cost, Predictor
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.latency_cost import LatencyCost
from engine.compute.steps.rates import findings
from engine.errors import OutOfReach
from engine.params.channels import PruneChannels
from engine.results.tolerance import Curve, added_curves, cost_at, loss_curves

ROUNDING = 1e-12
"""Relative difference of costs that sums of floats may make."""


@dataclass(frozen=True)
class Target:
    """`cost` has to fall from its value `before` to `times` less."""

    name: str
    cost: Cost
    times: float
    before: float

    def reached(self, left: Mapping[str, int], progress: float) -> bool:
        """Whether the share `progress` (0 to 1) of what has to go has gone."""
        goal = self.before * (1 - (1 - 1 / self.times) * progress)
        return self.cost(left) <= goal * (1 + ROUNDING)


@dataclass(frozen=True)
class Budget:
    """Targets that all have to be reached; without any, the share `ratio` of the channels.

    `cost` is what the scope of the same name weighs importance against, `levels` what a sensitivity study predicts.
    """

    targets: tuple[Target, ...]
    ratio: float
    cost: Cost
    levels: Levels | None = None

    def taken(
        self, candidates: list[Candidate], order: list[Removal], progress: float = 1.0
    ) -> list[Removal]:
        """Those of the ordered removals that take the share `progress` of the way; all, if they do not suffice."""
        if not self.targets:
            return order[: at_share(order, self.ratio * progress)]

        def enough(left: Mapping[str, int]) -> bool:
            return all(target.reached(left, progress) for target in self.targets)

        number = until(candidates, order, enough)
        return order if number is None else without_spare(candidates, order[:number], enough)

    def reached(self, candidates: list[Candidate], left: Mapping[str, int], progress: float) -> bool:
        """Whether the share `progress` of the way is done with `left` units."""
        if not self.targets:
            return share_gone(candidates, left) >= self.ratio * progress - ROUNDING
        return all(target.reached(left, progress) for target in self.targets)

    def check(self, candidates: list[Candidate]) -> None:
        """Raises OutOfReach when removing all that may go does not reach the targets."""
        least = {c.name: c.reachable for c in candidates}
        for target in self.targets:
            if not target.reached(least, 1.0):
                raise _out_of_reach(target.name, target.times, target.before / target.cost(least))
        # Half a step of every group is what rounding to the nearest may leave.
        slack = (
            sum(c.step * c.per_unit for c in candidates) / 2 / sum(c.whole * c.per_unit for c in candidates)
        )
        most = share_gone(candidates, least)
        if not self.targets and self.ratio > most + slack:
            raise _out_of_reach("ratio", self.ratio, most)


def _out_of_reach(name: str, wanted: float, most: float) -> OutOfReach:
    most = int(most * 100) / 100
    return OutOfReach(
        (name,),
        most,
        f"{name} {wanted:g} can't be reached: {most:g} is the most",
        "Every layer that can be pruned would be at its floor, in whole steps of round_to.",
        f"Ask for less ({name}, each value of a sweep too), or allow more: a lower floor, a smaller round_to, "
        "a shorter skip.",
    )


def budget_for(
    model: nn.Module, given: nn.Module, groups: list[Group], params: PruneChannels, context: Context
) -> Budget:
    """The budget that `params` ask for, of the model before anything is removed, against the one that was `given`."""
    arch = architecture(model)
    shape = (arch.channels, *arch.size)
    predictor = Predictor(model, groups, shape)
    targets = []
    if params.latency is not None:
        # Milliseconds steer where time is to be gained; other scopes only need a way to count how far they are.
        timed = params.scope in ("cost", "solved")
        cost: Cost = (
            LatencyCost(model, params.latency, context).of(model, groups) if timed else predictor.macs
        )
        targets.append(Target("latency", cost, params.latency.speedup, cost({})))
    if params.speedup is not None or params.compression is not None:
        whole = count(given, shape)
        if params.speedup is not None:
            targets.append(Target("speedup", predictor.macs, params.speedup, whole.macs))
        if params.compression is not None:
            targets.append(Target("compression", predictor.parameters, params.compression, whole.parameters))
    levels = None
    if params.scope in ("sensitivity", "solved"):
        curves = added_curves if params.scope == "solved" else loss_curves
        levels = levels_from(curves(findings(model, "channels")["rows"]))
    return Budget(tuple(targets), params.ratio, _weighed(predictor, targets), levels)


def shares_left(candidates: list[Candidate], order: list[Removal], target: Target) -> list[float]:
    """The share of the target's cost that is left after each number of the removals, from none to all.

    Made not to rise, where a sum of floats would by rounding.
    """
    left = {c.name: c.units for c in candidates}
    shares = [target.cost(left) / target.before]
    for removal in order:
        left[removal.group] -= len(removal.units)
        shares.append(min(target.cost(left) / target.before, shares[-1]))
    return shares


def _weighed(predictor: Predictor, targets: list[Target]) -> Cost:
    """The cost that the targets are about: MACs where there is none, the sum of the shares for two."""
    if not targets:
        return predictor.macs
    return lambda left: sum(t.cost(left) / t.before for t in targets)


def levels_from(curves: Mapping[str, Curve]) -> Levels:
    """The predicted cost by group and share removed; infinite beyond what was measured."""
    return lambda group, share: cost_at(curves[group], share) if group in curves else float("inf")
