"""When to stop removing channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from engine.compute.channels.allocate import shares_from
from engine.compute.channels.choose import Candidate, Removal, Shares, at_share, share_gone, until
from engine.compute.channels.cost import Cost, Predictor
from engine.compute.channels.groups import Group
from engine.compute.models.build import architecture
from engine.errors import SecateurError
from engine.params.channels import PruneChannels

REMEDY = "Lower the target, lower floor or round_to, or shorten skip."


@dataclass(frozen=True)
class Target:
    """`cost` has to fall to its value before, over `times`."""

    what: str
    cost: Cost
    times: float
    before: float

    def reached(self, left: Mapping[str, int], course: float) -> bool:
        """Whether the share `course` (0 to 1) of the way is done."""
        removed = (1 - 1 / self.times) * course
        return self.cost(left) <= self.before * (1 - removed) * (1 + 1e-12)


@dataclass(frozen=True)
class Budget:
    """Targets that all have to be reached; without any, the share `ratio` of the channels.

    `cost` is what the scope of the same name weighs importance against, `shares` what a sensitivity study found.
    """

    targets: tuple[Target, ...]
    ratio: float
    cost: Cost
    shares: Shares | None = None
    share_by_class: bool = True

    def taken(self, candidates: list[Candidate], order: list[Removal], course: float = 1.0) -> int:
        """How many of the ordered removals the share `course` of the way takes."""
        if not self.targets:
            return at_share(order, self.ratio * course)
        taken = until(candidates, order, lambda left: all(t.reached(left, course) for t in self.targets))
        return len(order) if taken is None else taken

    def check(self, candidates: list[Candidate]) -> None:
        """Raises SecateurError when removing all that may go does not reach the targets."""
        least = {c.name: min(c.units, c.least) for c in candidates}
        for target in self.targets:
            if not target.reached(least, 1.0):
                most = target.before / target.cost(least)
                raise SecateurError(
                    f"{target.what} {target.times:g} can't be reached: at most {_rounded_down(most)}",
                    "The layers that can be pruned, at their floor and rounding, leave more than that.",
                    REMEDY,
                )
        if self.targets:
            return
        most = share_gone(candidates, least)
        if self.ratio > most + _half_steps(candidates):
            raise SecateurError(
                f"ratio {self.ratio:g} can't be reached: at most {_rounded_down(most)}",
                "Every layer keeps its floor, in whole steps of round_to.",
                "Lower ratio, floor or round_to.",
            )


def _rounded_down(value: float) -> str:
    return f"{int(value * 100) / 100:g}"


def _half_steps(candidates: list[Candidate]) -> float:
    """Share of the channels that rounding each group to its nearest step may leave."""
    whole = sum(c.whole * c.per_unit for c in candidates)
    return sum(c.step * c.per_unit / 2 for c in candidates) / whole


def budget_for(model: nn.Module, groups: list[Group], params: PruneChannels) -> Budget:
    """The budget that `params` ask for, from the model as it is before anything is removed."""
    arch = architecture(model)
    predictor = Predictor(model, groups, (arch.channels, *arch.size))
    targets = []
    for what, cost, times in (
        ("speedup", predictor.macs, params.speedup),
        ("compression", predictor.parameters, params.compression),
    ):
        if times is not None:
            targets.append(Target(what, cost, times, cost({})))
    shares = None
    if params.scope == "sensitivity":
        shares = shares_from(model)
    return Budget(tuple(targets), params.ratio, _weighed(predictor, targets), shares)


def _weighed(predictor: Predictor, targets: list[Target]) -> Cost:
    """The cost that the targets are about: MACs where none is given, the sum of both shares for two."""
    if not targets:
        return predictor.macs
    return lambda left: sum(t.cost(left) / t.before for t in targets)
