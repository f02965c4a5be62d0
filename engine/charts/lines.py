"""Which points of a chart are one line: a combination of swept parameters, and never two values at one x."""

import statistics
from collections.abc import Sequence

from engine.charts.owner import Owner
from engine.plotting.figure import Point, Series, X
from engine.studies.state import StudyState
from engine.text.phrases import last_parts


def parameter_names(state: StudyState) -> list[str]:
    """The swept parameters of a study, in the preset's order."""
    return list(dict.fromkeys(name for trial in state.trials for name in trial.parameters))


def all_numbers(state: StudyState, name: str) -> bool:
    """Whether every trial has a number for the parameter."""
    values = [trial.parameters.get(name) for trial in state.trials]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def line_parameters(state: StudyState, x: str, by: Sequence[str]) -> list[str]:
    """The swept parameters that tell lines apart: `by`, then whatever else is swept but for what lines run along.

    They run along x; where that is a measure, along the first swept number that is not among `by`. Trials that
    differ in their seed are one point.
    """
    swept = [name for name in parameter_names(state) if name != "seed"]
    others = [name for name in swept if name not in by]
    along = x if x in swept else next((name for name in others if all_numbers(state, name)), None)
    return [*(name for name in by if name in swept), *(name for name in others if name != along)]


def series(name: str, points: tuple[Point, ...]) -> Series:
    """Points under one name; joined only where each has an x of its own: nothing leads from one to the other else."""
    return Series(name, points, line=len({point.x for point in points}) == len(points))


def mean(xs: Sequence[X], ys: Sequence[float], owner: Owner) -> Point:
    """The point of trials that differ in their seed alone: their mean, with the standard deviation of y; where x is no
    number, the first one's."""
    numbers = [x for x in xs if isinstance(x, int | float)]
    middle = statistics.fmean(numbers) if len(numbers) == len(xs) else xs[0]
    return Point(middle, statistics.fmean(ys), statistics.stdev(ys) if len(ys) > 1 else None, owner)


def told_apart(parameters: Sequence[str], values: Sequence[str]) -> list[str]:
    """What tells a line from others: the values, with the names of their parameters where these are several.

    >>> told_apart(["prune.weights.scope"], ["global"]), told_apart(["a.scope", "b.bits"], ["global", "4"])
    (['global'], ['scope global', 'bits 4'])
    """
    if len(parameters) < 2:
        return [*values]
    return [f"{name} {value}" for name, value in zip(last_parts(parameters), values, strict=True)]
