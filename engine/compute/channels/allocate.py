"""Rates for each group from what an earlier `sensitivity` step found."""

import math

from torch import nn

from engine.compute.allocate import findings
from engine.compute.channels.choose import Shares
from engine.tolerance import loss_curves


def shares_from(model: nn.Module) -> Shares:
    """The share of each group's units that goes at a level from 0 to 1; at a level all cost the same loss.

    Levels are spread as the costs measured are: many where layers differ by little, few at the costs of layers that
    break. Raises SecateurError when the model carries no note of a study of channels.
    """
    curves = loss_curves(findings(model, "channels")["rows"])
    costs = sorted({cost for line in curves.values() for cost in line.costs if math.isfinite(cost)})

    def shares(level: float) -> dict[str, float]:
        loss = _between(costs, level)
        return {group: line.rate(loss) for group, line in curves.items()}

    return shares


def _between(values: list[float], part: float) -> float:
    """The value at `part` (0 … 1) of the way through a list, straight between its members.

    >>> _between([0.0, 1.0, 5.0], 0.75)
    3.0
    """
    place = part * (len(values) - 1)
    before = min(int(place), len(values) - 2) if len(values) > 1 else 0
    after = min(before + 1, len(values) - 1)
    return values[before] + (place - before) * (values[after] - values[before])
