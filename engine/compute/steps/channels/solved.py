"""Which units go where a sensitivity step has measured what each group costs alone: least loss within the budget.

A network's cost is a sum of products of two groups' widths, no sum over groups. So the solver is given what each group
saves alone, the choice is counted exactly, and the solver is asked for more or less until the budget just holds.
"""

from collections.abc import Callable, Mapping

import torch

from engine.compute.steps.channels.choose import Candidate, Levels, removals
from engine.compute.steps.channels.cost import Cost
from engine.compute.steps.channels.groups import Gone
from engine.errors import SecateurError
from engine.search.solver import Option, solve

LEVELS = 16
"""Widths of each group among which the solver chooses."""
TURNS = 12
"""Times that the solver is asked anew; each halves what may be missing."""

Left = Mapping[str, int]


def solved(candidates: list[Candidate], levels: Levels, cost: Cost, enough: Callable[[Left], bool]) -> Gone:
    """The units that go, by group: of least loss predicted in sum among those choices with which there is `enough`.

    `levels` predicts a group's loss, infinite where nothing was measured; `cost` is what `enough` looks at. Raises
    SecateurError where all that was measured is not enough.
    """
    options = {candidate.name: _options(candidate, levels, cost) for candidate in candidates}
    least = {name: min(each, key=lambda one: one.costs) for name, each in options.items()}
    if not enough(_left(least)):
        raise SecateurError(
            "The sensitivity step measured too little to remove so much",
            "At the largest rates that it measured, in whole steps of round_to, the target is not reached; beyond "
            "nothing is predicted.",
            "Add larger values to its rates, skip the same layers in both steps, or ask for less.",
        )
    low = sum(one.costs[0] for one in least.values())
    high = sum(max(one.costs[0] for one in each) for each in options.values())
    chosen = least
    for _ in range(TURNS):
        middle = (low + high) / 2
        found = solve(options, [middle])
        if found is not None and enough(_left(found)):
            chosen, low = found, middle
        else:
            high = middle
    left = _left(chosen)
    return {
        candidate.name: torch.tensor(sorted(gone))
        for candidate in candidates
        if (gone := _units(candidate, left[candidate.name]))
    }


def _options(candidate: Candidate, levels: Levels, cost: Cost) -> list[Option]:
    """The widths that a group may have; `level` is the number of units left, the costs what it leaves if it alone
    shrinks."""
    widths = [candidate.units]
    for removal in removals(candidate):
        widths.append(widths[-1] - len(removal.units))
    known = [left for left in widths if levels(candidate.name, 1 - left / candidate.whole) < float("inf")]
    known = known or [candidate.units]
    kept = {known[round(place * (len(known) - 1) / (LEVELS - 1))] for place in range(LEVELS)}
    dearest = cost({candidate.name: min(known)})
    return [
        Option(
            float(left),
            levels(candidate.name, 1 - left / candidate.whole) if left < candidate.whole else 0.0,
            (max(cost({candidate.name: left}) - dearest, 0.0),),
        )
        for left in sorted(kept, reverse=True)
    ]


def _left(chosen: Mapping[str, Option]) -> dict[str, int]:
    return {name: round(one.level) for name, one in chosen.items()}


def _units(candidate: Candidate, left: int) -> list[int]:
    """The units that go so that so many are left, the least important first."""
    gone: list[int] = []
    for removal in removals(candidate):
        if candidate.units - len(gone) <= left:
            break
        gone += removal.units
    return gone
