"""A search's first candidates where a `sensitivity` step of its baseline has measured what layers lose: each technique
goes as far as, by prediction and without training, the network loses what it may lose."""

from collections.abc import Sequence
from typing import Any

from engine.params.sensitivity import FLOAT_BITS
from engine.presets.auto import FAR
from engine.presets.space import Dimension
from engine.search.proposals import QUALITY, Table
from engine.search.task import Task

TIMES = (1.0, 4.0, 2.0, 0.5)
"""How many times what may be lost, by prediction, a candidate is to lose: training recovers some of it."""


def points(task: Task, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Points of the search's space, first the one that is predicted to lose just what may be lost; none without tables.

    Several techniques share the loss evenly.
    """
    by_of = {table.of: table for table in tables}
    known = [one for one in task.space.dimensions if FAR.get(one.field) in by_of]
    if not known or not 0 < task.allowed < 1:
        return []
    found = []
    for times in TIMES:
        loss = times * task.allowed / len(known)
        predicted = {one.path: _at(one, by_of[FAR[one.field]], loss, task.goal) for one in known}
        found.append(task.space.middle() | predicted)
    return found


def _at(one: Dimension, table: Table, loss: float, goal: str) -> Any:
    """The value of a parameter at which so much is predicted to be lost, with layers chosen for the goal."""
    value = _value(one.field, table, loss, goal)
    if one.values:
        numbers = [number for number in one.values if isinstance(number, int | float)]
        return min(numbers, key=lambda number: abs(number - value)) if numbers else one.between(0.5)
    return one.rounded(value)


def _value(field: tuple[str, ...], table: Table, loss: float, goal: str) -> float:
    if field in (("bits",), ("rank", "ratio")):
        return _alike(table, loss)
    least = "macs" if field == ("speedup",) else "parameters"
    proposal = table.propose(goal if goal == table.latency else least, {QUALITY: loss})
    assert proposal is not None, "nothing removed loses nothing"
    if table.of == "channels":
        return proposal.before[least] / max(proposal.amounts[least], 1.0)
    return table.share(proposal.levels)


def _alike(table: Table, loss: float) -> float:
    """The harshest level that, in all layers alike, is predicted to lose at most so much: bits, or a share."""
    rates = sorted({level.rate for levels in table.layers.values() for level in levels})
    lost = {
        rate: sum(
            max((one.loss for one in levels if one.rate <= rate), default=0.0)
            for levels in table.layers.values()
        )
        for rate in rates
    }
    rate = max((one for one in rates if lost[one] <= loss), default=0.0)
    return round(FLOAT_BITS * (1 - rate)) if table.of == "bits" else rate
