"""Figures from studies: any parameter or measure along x, any measure along y, seeds as mean ± deviation."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from engine.charts import latency as latencycharts
from engine.charts import sensitivity
from engine.charts.lines import all_numbers, line_parameters, mean, parameter_names, series, told_apart
from engine.charts.owner import Owner, owner_of
from engine.errors import UsageError
from engine.measures import latency
from engine.measures.table import FIELDS, measure
from engine.params.preset import Plot
from engine.plotting.axis import Scale
from engine.plotting.figure import Figure, Point, Reference, Series, X
from engine.plotting.palette import STAR
from engine.presets.yaml.flow import as_written
from engine.results import failures, searches
from engine.results.summary import (
    baseline_value,
    but_seed,
    measure_names,
    measure_value,
    path_values,
    quality_name,
    trial_value,
)
from engine.studies.state import StudyState, TrialState

UNMEASURED = "Its preset plots latencies, which no trial measures."
UNSWEPT = "{study} sweeps no number"
CHOOSE = "Choose what to draw along: {by}."


def default_plot(state: StudyState, plot: Plot | None) -> Plot | None:
    """The preset's own chart, or accuracy along the first swept number, or along the rates of a sensitivity.

    None if there is nothing to draw. A chart of latencies that no trial measures would stay empty: it counts as none.
    """
    if plot is not None and not (_of_latency(plot) and _without_latency(state)):
        return plot
    numbers = [n for n in parameter_names(state) if n != "seed" and all_numbers(state, n)]
    others = [n for n in parameter_names(state) if n not in ("seed", *numbers[:1])]
    quality = quality_name(state)
    if numbers:
        return Plot(x=numbers[0], y=quality, by=tuple(others) or None)
    rates = sensitivity.names([state])
    return Plot(x=rates[0], y=quality, by=sensitivity.LAYER) if rates else None


def _of_latency(plot: Plot) -> bool:
    return any(latency.is_name(name) for name in (plot.x, plot.y))


def _without_latency(state: StudyState) -> bool:
    """Whether it is sure that no trial will ever have a latency."""
    return bool(state.trials) and all(trial.latency is None for trial in state.trials)


def figure(
    states: Sequence[StudyState],
    x: str,
    y: str,
    by: str | Sequence[str] | None = None,
    *,
    scale: Scale = "linear",
    layers: Sequence[str] = (),
    picks: Sequence[TrialState] = (),
) -> Figure:
    """A chart of one or several studies; with several, each line is named after its study too.

    Each combination of the swept parameters is a line: first of those in `by`, then of all others but the one that
    a line runs along (see `engine.charts.lines`). Trials that differ in their seed alone are drawn as their mean with
    the standard deviation. Along the rate of a sensitivity step lines are layers, of which `layers` chooses (see
    `sensitivity.figure`). The trials `picks` are starred. Every point's owner is the trials that it shows (see
    `owner.owner_of`). Raises UsageError when x, y or by names nothing that a study has, SecateurError when all
    ended without a value.
    """
    names = (by,) if isinstance(by, str) else tuple(by or ())
    if _by_layer(states, x, names):
        return sensitivity.figure(states, x, y, layers, scale=scale)
    if latencycharts.applies(x, y, names):
        return _marked(latencycharts.figure(states, *_of_rows(states, x, y, names), scale=scale), states)
    x, y = (resolve(name, states) for name in (x, y))
    names = tuple(resolve(name, states) for name in names)
    lines: list[Series] = []
    for state in states:
        prefix = f"{state.name} " if len(states) > 1 else ""
        drawn = _scattered if searches.is_search(state) else series
        lines += [
            drawn(prefix + (name or y), _points(state, trials, x, y))
            for name, trials in _grouped(state, x, names).items()
        ]
    whole = Figure(
        x_label=measure(x).label,
        y_label=measure(y).label,
        series=(*lines, *_starred(lines, picks)),
        references=tuple(_baselines(states, x, y, names)),
        y_scale=scale,
        x_measure=x,
        y_measure=y,
    )
    return _marked(whole, states)


def _marked(drawn: Figure, states: Sequence[StudyState]) -> Figure:
    """The figure, on whose axes of latencies stands whether some were measured beside other programs."""
    every = [row for state in states for trial in state.trials for row in latency.measured(trial.results)]
    noisy = [row for row in every if latency.disturbed(row)]

    def label(name: str, text: str) -> str:
        some = latency.is_name(name) and any(map(latency.parse(name).matches, noisy))
        return f"{text} ({latency.BESIDE_OTHERS} some beside other programs)" if some else text

    return replace(
        drawn, x_label=label(drawn.x_measure, drawn.x_label), y_label=label(drawn.y_measure, drawn.y_label)
    )


def _starred(lines: Sequence[Series], picks: Sequence[TrialState]) -> list[Series]:
    """The points of picked trials once more, under a star."""
    points = [
        point
        for line in lines
        for point in line.points
        if (owner := owner_of(point)) and any(trial is pick for trial in owner.trials for pick in picks)
    ]
    return (
        [Series("pick", tuple(replace(p, deviation=None) for p in points), STAR, line=False)]
        if points
        else []
    )


def _by_layer(states: Sequence[StudyState], x: str, by: tuple[str, ...]) -> bool:
    """Whether x is the rate of a sensitivity step, along which lines are layers."""
    if not sensitivity.is_rate(x, states):
        return False
    if by not in ((), (sensitivity.LAYER,)):
        raise UsageError(
            f"Along {x} there are no lines by {', '.join(by)}", "", "Lines are layers there: --by layer."
        )
    return True


def _of_rows(
    states: Sequence[StudyState], x: str, y: str, by: tuple[str, ...]
) -> tuple[str, str, tuple[str, ...]]:
    """Names of rows as they are, the others in full."""

    def full(name: str) -> str:
        return name if latency.is_name(name) or name in latency.DIMENSIONS else resolve(name, states)

    return full(x), full(y), tuple(map(full, by))


def resolve(name: str, states: Sequence[StudyState]) -> str:
    """`name` as a parameter or measure of every study; a unique last part such as `sparsity` will do."""
    parameters = list(dict.fromkeys(n for state in states for n in parameter_names(state)))
    measures = list(dict.fromkeys(n for state in states for n in measure_names(state)))
    if name in parameters or name in measures:
        return name
    if name in FIELDS and (first := [m for m in measures if m.startswith(f"{name}.")]):
        return first[0]
    ends = [n for n in parameters if n.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if nothing := failures.without_values(states):
        raise nothing
    raise UsageError(
        f"There is nothing called {name} to plot",
        f"Parameters: {', '.join(parameters) or 'none'}.\nMeasures: {', '.join(measures) or 'none yet'}.",
        "Choose --x, --y and --by from these.",
    )


def _scattered(name: str, points: tuple[Point, ...]) -> Series:
    """Points that nothing joins: of a search, each is somewhere else in its space."""
    return Series(name, points, line=False)


def _by_role(state: StudyState) -> dict[str, list[TrialState]]:
    """The trials of a search by what they are there for."""
    groups: dict[str, list[TrialState]] = {}
    for trial in state.trials:
        groups.setdefault(searches.role(trial), []).append(trial)
    return groups


def _grouped(state: StudyState, x: str, by: tuple[str, ...]) -> dict[str, list[TrialState]]:
    """The trials of each line under its name: the values that tell it apart, with names where these are several."""
    if searches.is_search(state) and not by:
        return _by_role(state)
    names = line_parameters(state, x, by)
    ends = path_values(state, names)
    groups: dict[str, list[TrialState]] = {}
    for trial in state.trials:
        values = [ends[name].get(value := as_written(trial.parameters.get(name)), value) for name in names]
        groups.setdefault(", ".join(told_apart(names, values)), []).append(trial)
    return groups


def _points(state: StudyState, trials: Sequence[TrialState], x: str, y: str) -> tuple[Point, ...]:
    """The points of one line in the order drawn, each the mean of what differs in the seed alone."""
    seeds: dict[object, list[tuple[TrialState, float]]] = {}
    for trial in trials:
        if (value := measure_value(trial.results, y)) is not None:
            seeds.setdefault(but_seed(trial), []).append((trial, value))
    points = []
    for group in seeds.values():
        alike, values = zip(*group, strict=True)
        points.append(mean([trial_value(trial, x) for trial in alike], values, Owner(state, alike)))
    return tuple(sorted(points, key=lambda point: _order(point.x)))


def _order(x: X) -> tuple[int, float]:
    return (0, float(x)) if isinstance(x, int | float) else (1, 0.0)


def _baselines(states: Sequence[StudyState], x: str, y: str, by: tuple[str, ...]) -> list[Reference]:
    """One reference line a study, the mean over its baselines, of a search its own; one for each of its lines, where
    none has another's baseline: those of different networks are not to be averaged."""
    lines = []
    for state in states:
        if searches.is_search(state):
            # Finalists of other seeds may have baselines of those, and candidates are not compared with them.
            own = state.trials[0].baseline
            groups = {"": [trial for trial in state.trials if trial.baseline == own]}
        else:
            groups = _by_baseline(state, _grouped(state, x, by))
        for group, trials in groups.items():
            if values := _baseline_values(trials, y):
                name = " ".join(filter(None, (state.name if len(states) > 1 else "", group, "baseline")))
                lines.append(Reference(name, statistics.fmean(values)))
    return lines


def _by_baseline(state: StudyState, groups: dict[str, list[TrialState]]) -> dict[str, list[TrialState]]:
    """The trials of each line with its name, or all of them where lines share baselines or nothing is compressed."""
    keys = [{trial.baseline_measure.key for trial in trials} for trials in groups.values()]
    shared = sum(map(len, keys)) > len(set().union(*keys))
    compressed = any(trial.measure.key != trial.baseline_measure.key for trial in state.trials)
    return {**groups} if len(groups) > 1 and compressed and not shared else {"": state.trials}


def _baseline_values(trials: Sequence[TrialState], y: str) -> list[float]:
    if latency.is_name(y) and not y.startswith("speedup"):
        return baseline_latencies(trials, y)
    steps = {trial.baseline_measure.key: trial.baseline_measure for trial in trials}
    return [v for step in steps.values() if (v := measure_value(step.measures, y)) is not None]


def baseline_latencies(trials: Sequence[TrialState], name: str) -> list[float]:
    """`latency.RUNTIME.BATCH` (ms), or its throughput, of the baseline, once for each trial's comparison."""
    return [v for trial in trials if (v := baseline_value(trial, name)) is not None]
