"""A latency target as a budget: what share of the predicted cost to leave, found by measuring pruned copies."""

import copy
from dataclasses import replace

import torch
from torch import nn

from engine.compute import edits
from engine.compute.channels.budget import Budget, Target
from engine.compute.channels.choose import Candidate, Removal, units_gone
from engine.compute.channels.groups import Group
from engine.compute.channels.latency import reach
from engine.compute.channels.milliseconds import Milliseconds
from engine.compute.channels.shrink import shrink
from engine.compute.context import Context
from engine.params.channels import PruneChannels


class LatencyGoal:
    """`params.latency` for the step that starts from `model`, whole as it is now.

    With scope cost, importance is weighed against the layers' measured times, and these predict the time that is
    left; with every other scope MACs do, and only where to stop is measured.
    """

    def __init__(
        self, model: nn.Module, groups: list[Group], budget: Budget, params: PruneChannels, context: Context
    ) -> None:
        assert params.latency is not None
        self._target = params.latency
        self._context = context
        self._original = copy.deepcopy(model)
        self._cost = budget.cost
        if params.scope == "cost":
            self._cost = Milliseconds(model, params.latency, context).of(model, groups)
        self._whole = self._cost({})
        self.budget = replace(budget, cost=self._cost)
        """What the removals are ordered by; it has no end before `found`."""

    def found(
        self,
        model: nn.Module,
        groups: list[Group],
        choice: list[Candidate],
        order: list[Removal],
        name: str,
    ) -> Budget:
        """The budget by which the first of the `order`ed removals from `model` meet the target, as measured.

        `name` tells this search from others of the step. Raises SecateurError when none do.
        """

        def prune(share: float) -> nn.Module:
            gone = units_gone(order, self._left(share).taken(choice, order))
            return self._pruned(model, groups, gone)

        end = reach(self._target, self._original, prune, self._context, name)
        self._context.found["measured_speedup"] = end.speedup
        return self._left(end.share)

    def _left(self, share: float) -> Budget:
        """The budget that leaves a share of the cost."""
        return replace(self.budget, targets=(Target("latency", self._cost, 1 / share, self._whole),))

    def _pruned(self, model: nn.Module, groups: list[Group], gone: dict[str, torch.Tensor]) -> nn.Module:
        """A copy without the units `gone`, which says all that was changed since the step began."""
        pruned = copy.deepcopy(model)
        shrink(pruned, groups, gone)
        del edits.recorded(pruned)[:]
        for edit in edits.recorded(self._original):
            edits.record(pruned, edit)
        for edit in edits.changes(edits.sizes(self._original), edits.sizes(pruned)):
            edits.record(pruned, edit)
        return pruned
