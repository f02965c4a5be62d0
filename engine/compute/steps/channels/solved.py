"""Which units go where a sensitivity step has measured what each group costs alone: least loss within the budget.

A network's cost is a sum of products of two groups' widths, no sum over groups. So the solver is given what each group
saves alone, the choice is counted exactly, and the solver is asked for more or less until the budget just holds.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import torch

from engine.compute.steps.channels.choose import Candidate, Levels, removals
from engine.compute.steps.channels.cost import Cost
from engine.compute.steps.channels.groups import Gone
from engine.errors import SecateurError
from engine.search.solver import Option, solve

LEVELS = 16
"""Widths of each group among which the solver chooses."""
PROPOSALS = 32
"""Steps of cost in which networks are proposed for measuring."""
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
    return _gone(candidates, _left(chosen))


def proposals(candidates: list[Candidate], levels: Levels, cost: Cost) -> list[Gone]:
    """Choices of the least predicted loss in sum at ever less cost, from nothing removed to all that was measured.

    What is predicted to cost nothing, the solver removes all at once. Where two of its choices are far apart for that,
    networks between them are put in, in which all groups shrink alike.
    """
    options = {candidate.name: _options(candidate, levels, cost) for candidate in candidates}
    low = sum(min(one.costs[0] for one in each) for each in options.values())
    high = sum(max(one.costs[0] for one in each) for each in options.values())
    whole = {candidate.name: candidate.units for candidate in candidates}
    least = {name: round(each[-1].level) for name, each in options.items()}
    step = (cost(whole) - cost(least)) / PROPOSALS or 1.0
    chosen: list[Left] = [whole]
    for place in range(1, PROPOSALS + 1):
        found = solve(options, [high - (high - low) * place / PROPOSALS])
        left = chosen[-1] if found is None else _left(found)
        for between in _steps_to(chosen[-1], left, options, max((cost(chosen[-1]) - cost(left)) / step, 1.0)):
            if cost(between) < cost(chosen[-1]):  # sums of what groups save alone may say otherwise
                chosen.append(between)
    return [_gone(candidates, left) for left in chosen]


def _steps_to(first: Left, last: Left, options: Mapping[str, list[Option]], steps: float) -> Iterator[Left]:
    """So many networks on the way from one to another, each group at a width that it may have."""
    for step in range(1, math.ceil(steps) + 1):
        part = step / math.ceil(steps)
        at = {name: first[name] + (last[name] - first[name]) * part for name in last}
        yield {name: _nearest(options[name], at[name]) for name in last}


def _nearest(options: list[Option], units: float) -> int:
    return round(min(options, key=lambda one: abs(one.level - units)).level)


def _gone(candidates: list[Candidate], left: Left) -> Gone:
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
