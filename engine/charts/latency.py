"""Charts of latency rows: along batch or threads, or a line for each runtime or precision."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.charts.lines import line_parameters, mean, parameter_names, series, told_apart
from engine.charts.owner import Owner
from engine.measures import latency
from engine.measures.latency import DIMENSIONS, NUMBERS, Row
from engine.measures.table import measure
from engine.plotting.axis import Scale
from engine.plotting.figure import Figure, Point, Reference, Series, X
from engine.presets.yaml.flow import as_written
from engine.results.summary import but_seed, trial_value
from engine.studies.state import StudyState, TrialState

BASELINE = "baseline"


@dataclass(frozen=True)
class _Sample:
    """One row of one trial, or of its baseline: where it lies, and the name of its line."""

    trial: TrialState
    x: X
    y: float
    line: str


def applies(x: str, y: str, by: tuple[str, ...]) -> bool:
    """Whether a chart is one of rows, not of one row of each trial."""
    of_rows = latency.is_name(y) or latency.is_name(x)
    return of_rows and (x in NUMBERS or any(name in DIMENSIONS for name in by))


def figure(
    states: Sequence[StudyState], x: str, y: str, by: tuple[str, ...], *, scale: Scale = "linear"
) -> Figure:
    """Lines are told apart by `by` and by whatever else differs between their rows.

    Along batch or threads the baseline is a line for each runtime and precision, along anything else a reference.
    Trials that differ in their seed alone are drawn as their mean with the standard deviation. A point's owner is
    the trials whose rows it shows.
    """
    return Figure(
        x_label=measure(x).label,
        y_label=measure(y).label,
        series=tuple(_lines(states, x, y, by)),
        references=tuple(_references(states, x, y)),
        y_scale=scale,
        x_measure=x,
        y_measure=y,
    )


def _lines(states: Sequence[StudyState], x: str, y: str, by: tuple[str, ...]) -> Iterator[Series]:
    for state in states:
        prefix = f"{state.name} " if len(states) > 1 else ""
        groups: dict[str, list[_Sample]] = {}
        for sample in (*_samples(state, x, y, by), *_baseline(state, x, y)):
            groups.setdefault(sample.line, []).append(sample)
        for name, samples in groups.items():
            yield series(prefix + name, _points(state, samples, x))


def _rows(state: StudyState) -> list[tuple[TrialState, Row]]:
    return [(trial, row) for trial in state.trials for row in latency.measured(trial.results)]


def _samples(state: StudyState, x: str, y: str, by: tuple[str, ...]) -> Iterator[_Sample]:
    meant = [(t, row) for t, row in _rows(state) if _value(t, row, x) is not None]
    meant = [(t, row) for t, row in meant if _value(t, row, y) is not None]
    rows = [row for _, row in meant]
    dimensions = [d for d in DIMENSIONS if d in by or (d != x and _differ(row.get(d) for row in rows))]
    along_rows = [name for name in parameter_names(state) if name != "seed"] if x in NUMBERS else []
    names = along_rows or line_parameters(state, x, by)
    parameters = [n for n in names if n in by or _differ(t.parameters.get(n) for t, _ in meant)]
    for trial, row in meant:
        described = told_apart(parameters, [as_written(trial.parameters.get(name)) for name in parameters])
        where = latency.in_words(row, dimensions)
        line = ", ".join(part for part in (*described, where) if part) or y
        value = _value(trial, row, y)
        assert isinstance(value, int | float)
        yield _Sample(trial, _value(trial, row, x), value, line)


def _differ(values: Iterable[object]) -> bool:
    return len({str(value) for value in values}) > 1


def _value(trial: TrialState, row: Row, name: str) -> X:
    """What a row, or its trial, has along an axis; None where another row is meant."""
    if name in NUMBERS:
        number: X = row.get(name)
        return number
    if not latency.is_name(name):
        return trial_value(trial, name)
    wanted = latency.parse(name)
    return latency.value(row, wanted.field) if wanted.matches(row) else None


def _baseline(state: StudyState, x: str, y: str) -> Iterator[_Sample]:
    """The baseline along batch or threads; nothing where every trial is its own baseline."""
    if x not in NUMBERS or y.startswith("speedup"):
        return
    rows = [(t, r, latency.of_baseline(r)) for t, r in _rows(state) if _value(t, r, y) is not None]
    if all(row["median_ms"] == before["median_ms"] for _, row, before in rows):
        return
    dimensions = [d for d in DIMENSIONS if d != x and _differ(before.get(d) for _, _, before in rows)]
    for trial, _, before in rows:
        where = latency.in_words(before, dimensions)
        value = latency.value(before, latency.parse(y).field)
        yield _Sample(trial, before.get(x), value, f"{BASELINE}, {where}" if where else BASELINE)


def _references(states: Sequence[StudyState], x: str, y: str) -> Iterator[Reference]:
    """The baseline of each runtime, precision, batch and number of threads, where x is none of them."""
    if not latency.is_name(y) or (x in NUMBERS and not y.startswith("speedup")):
        return
    if y.startswith("speedup"):
        yield Reference(BASELINE, 1.0)
        return
    for state in states:
        befores = [latency.of_baseline(r) for t, r in _rows(state) if _value(t, r, y) is not None]
        dimensions = [d for d in DIMENSIONS if _differ(before.get(d) for before in befores)]
        groups: dict[str, list[float]] = {}
        for before in befores:
            value = latency.value(before, latency.parse(y).field)
            groups.setdefault(latency.in_words(before, dimensions), []).append(value)
        prefix = f"{state.name} " if len(states) > 1 else ""
        for where, values in groups.items():
            name = f"{BASELINE}, {where}" if where else BASELINE
            yield Reference(prefix + name, statistics.fmean(values))


def _points(state: StudyState, samples: list[_Sample], x: str) -> tuple[Point, ...]:
    """The points of one line in the order drawn, each the mean of what differs in the seed, or in the baseline's
    measurement, alone."""
    groups: dict[object, list[_Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.x if x in NUMBERS else but_seed(sample.trial), []).append(sample)
    points = [
        mean(
            [one.x for one in group],
            [one.y for one in group],
            Owner(state, tuple(one.trial for one in group)),
        )
        for group in groups.values()
    ]
    return tuple(sorted(points, key=lambda point: point.x if isinstance(point.x, int | float) else 0.0))
