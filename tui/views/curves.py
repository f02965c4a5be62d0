"""What the curves screen draws: which studies, along what, and which trial each point stands for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.charts import sensitivity, training, trials
from engine.charts.lines import parameter_names
from engine.charts.owner import Owner, owner_of
from engine.charts.pareto import on_front
from engine.charts.together import comparable, waiting
from engine.errors import SecateurError, UsageError
from engine.measures import latency, table
from engine.measures.table import FIELDS, measure
from engine.params.preset import Plot
from engine.plotting.axis import Scale, fitting
from engine.plotting.figure import Figure, Point, Series, finite
from engine.results.failures import ending
from engine.results.summary import (
    baseline_value,
    measure_names,
    quality_name,
)
from engine.studies.state import StudyState, TrialState
from engine.text import numbers as fmt
from tui.widgets.trials import NO_VALUE, UNTRAINED, without_curve

MARGIN = 0.02
"""Part of the sweep's range left free at both ends of the x axis."""
FRONT = "Pareto front"


@dataclass(frozen=True)
class View:
    """What was chosen; `epochs` shows training curves of the measure `epoch_y` in place of trials.

    Along the rate of a sensitivity step lines are layers: those of `layers`, or a few where it is empty.
    """

    x: str = ""
    y: str = "accuracy"
    by: tuple[str, ...] = ()
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    pareto: bool = False
    epochs: bool = False
    epoch_y: str = "validation_accuracy"
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A figure, and which of its points are on the Pareto front."""

    figure: Figure
    front: list[tuple[int, int]] = field(default_factory=list)
    problem: str = ""
    notes: tuple[str, ...] = ()
    """What of several studies is not drawn, or not as chosen."""

    def owner(self, series: int, point: int) -> Owner | None:
        """The study and trials that a point stands for; None where there is no such point, or it has none."""
        lines = self.figure.series
        if series < len(lines) and point < len(lines[series].points):
            return owner_of(lines[series].points[point])
        return None


def first_view(state: StudyState, plot: Plot | None) -> View:
    """The preset's own chart, or accuracy along the first swept number; training curves where nothing is swept."""
    plot_settings = trials.default_plot(state, plot)
    quality = quality_name(state)
    if plot_settings is None:
        return View(x="sparsity", y=quality, epochs=True, epoch_y=f"validation_{quality}")
    by = tuple(name for name in plot_settings.names if name != sensitivity.LAYER)
    return View(
        plot_settings.x,
        plot_settings.y,
        by,
        y_scale=plot_settings.scale,
        epoch_y=f"validation_{quality}",
    )


def xs(states: Sequence[StudyState]) -> list[str]:
    """All that can be drawn along: parameters first, then the rates of sensitivity steps."""
    numbers = latency.NUMBERS if _of_rows(states) else ()
    return list(dict.fromkeys([*parameters(states), *sensitivity.names(states), *numbers, *ys(states)]))


def by_layer(states: Sequence[StudyState], view: View) -> bool:
    """Whether lines are layers, along the rate of a sensitivity step."""
    return not view.epochs and view.x in (sensitivity.RATE, *sensitivity.names(states))


def layers(states: Sequence[StudyState], view: View) -> list[tuple[str, str]]:
    """The layers that there are lines of, each with the share of it that costs at most a point."""
    shares = sensitivity.within_a_point(states, view.x)
    return [
        (layer, f"{fmt.percent(shares[layer], 0)} cost at most 1 point" if layer in shares else "")
        for layer in sensitivity.layers(states, view.x)
    ]


def ys(states: Sequence[StudyState]) -> list[str]:
    names = dict.fromkeys(name for state in states for name in measure_names(state))
    return list(dict.fromkeys([*names, *(FIELDS if _of_rows(states) else ())]))


def bys(states: Sequence[StudyState]) -> list[str]:
    """What can tell lines apart: parameters, and what differs between rows of latency."""
    return [*parameters(states), *(latency.DIMENSIONS if _of_rows(states) else ())]


def _of_rows(states: Sequence[StudyState]) -> bool:
    """Whether latency was measured."""
    return any(trial.results.get("latency") for state in states for trial in state.trials)


def parameters(states: Sequence[StudyState]) -> list[str]:
    return list(dict.fromkeys(name for state in states for name in parameter_names(state)))


def draw(states: Sequence[StudyState], view: View, picks: Sequence[TrialState] = ()) -> Drawn:
    """The figure for what was chosen, the trials `picks` starred; `problem` says why there is nothing to draw."""
    if view.epochs:
        figure = training.figure(states, view.epoch_y, scale=fitting(view.y_scale, view.epoch_y))
        return Drawn(replace(figure, x_scale=view.x_scale))
    if by_layer(states, view):
        return _layers(states, view)
    together = comparable(states, view.x, view.y, [name for name in view.by if name in bys(states)])
    states, view = together.states, replace(view, x=together.x, y=together.y, by=together.by)
    view = replace(view, y_scale=fitting(view.y_scale, view.y))
    try:
        figure = trials.figure(states, view.x, view.y, view.by, scale=view.y_scale, picks=picks)
    except UsageError as error:
        return Drawn(Figure(), problem=waiting(states) or _unmeasured(states, view) or str(error))
    except SecateurError:  # why there is no value, `tui.widgets.ending` says
        return Drawn(Figure())
    limits = None if view.x_scale != "linear" else _sweep_limits(states, figure.x_measure)
    figure = replace(figure, x_scale=view.x_scale, x_limits=limits)
    front = on_front(figure) if view.pareto else []
    if front:
        points = tuple(figure.series[s].points[p] for s, p in front)
        line = Series(FRONT, tuple(Point(p.x, p.y) for p in points), marks=False)
        figure = replace(figure, series=(*figure.series, line))
    return Drawn(figure, front, notes=together.notes)


def nothing(states: Sequence[StudyState], view: View | None) -> str:
    """Why there is no point of studies that have ended; empty where there is no study."""
    if not states or view is None or not any(trial.results for state in states for trial in state.trials):
        return NO_VALUE if states else ""
    if not view.epochs:
        return f"No curve: no trial has {view.y} along {view.x}."
    unswept = trials.default_plot(states[0], None) is None
    return without_curve(states[0], None, "x") if unswept else UNTRAINED


def _layers(states: Sequence[StudyState], view: View) -> Drawn:
    y = view.y if view.y in sensitivity.measures(states) else "accuracy"
    chosen = [layer for layer in view.layers if layer in sensitivity.layers(states, view.x)]
    try:
        figure = trials.figure(states, view.x, y, scale=fitting(view.y_scale, y), layers=chosen)
    except UsageError as error:
        return Drawn(Figure(), problem=str(error))
    problem = "" if figure.series else waiting(states)
    return Drawn(replace(figure, x_scale=view.x_scale), problem=problem)


def _unmeasured(states: Sequence[StudyState], view: View) -> str:
    """That studies which failed or were stopped did not get as far as measuring what was chosen; else empty."""
    if any(ending(state) for state in states):
        return f"No trial came to {view.x} and {view.y}: x and y choose something else"
    return ""


def _sweep_limits(states: Sequence[StudyState], x: str) -> tuple[float, float] | None:
    """The range of a swept number over all trials, finished or not, so that a live chart's axis stays still."""
    values = [finite(trial.parameters.get(x)) for state in states for trial in state.trials]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values) or min(known) == max(known):
        return None
    room = (max(known) - min(known)) * MARGIN
    return min(known) - room, max(known) + room


def directions(figure: Figure) -> str:
    """Which directions count as better."""
    x = measure(figure.x_measure).better or "lower"
    y = measure(figure.y_measure).better or "higher"
    return f"{x} {_end(figure.x_measure)}, {y} {_end(figure.y_measure)}"


def _end(name: str) -> str:
    return name if name.split(".")[0] in (*FIELDS, "size") else name.rpartition(".")[2]


def readout(drawn: Drawn, series: int, point: int) -> str:
    """The point in words: line, x, y, the baseline's y, trial."""
    figure = drawn.figure
    line = figure.series[series]
    here = line.points[point]
    parts = [line.name, f"{_end(figure.x_measure) or figure.x_label} {_value(figure.x_measure, here.x)}"]
    y = table.measure_text(figure.y_measure, here.y, here.deviation)
    parts.append(f"{_end(figure.y_measure) or figure.y_label} {y}")
    owner = drawn.owner(series, point)
    if owner:
        if before := _before(figure, line.name, owner.trials[0]):
            parts.append(before)
        indices = ", ".join(str(trial.index) for trial in owner.trials[:4]) + (
            ", …" if len(owner.trials) > 4 else ""
        )
        parts.append(f"{owner.state.name} trial {indices}")
    if (series, point) in drawn.front:
        parts.append("on the front")
    return "   ".join(parts)


def _before(figure: Figure, line: str, trial: TrialState) -> str:
    """What the point is compared with: the baseline, or along rates the model with nothing pruned."""
    if figure.x_measure == sensitivity.RATE:
        for reference in figure.references:
            if line.startswith(reference.name.removesuffix(sensitivity.UNPRUNED)):
                return f"{sensitivity.UNPRUNED} {table.measure_text(figure.y_measure, reference.y)}"
    y = figure.y_measure
    if figure.x_label == "epoch" or (latency.is_name(y) and y.count(".") < 2):
        return ""  # which row's baseline it is, the name does not say
    before = baseline_value(trial, y)
    return f"baseline {table.measure_text(figure.y_measure, before)}" if before is not None else ""


def _value(name: str, value: object) -> str:
    number = finite(value)
    if number is None:
        return str(value)
    return table.measure_text(name, number) if name else fmt.number(number)


def front_rows(drawn: Drawn) -> list[tuple[str, tuple[str, ...]]]:
    """The front as rows: a key `SERIES POINT`, and trial, line, x, y."""
    rows: list[tuple[str, tuple[str, ...]]] = []
    for s, p in drawn.front:
        point = drawn.figure.series[s].points[p]
        owner = drawn.owner(s, p)
        trial = f"{owner.trials[0].index}" if owner else ""
        cells = (
            trial,
            drawn.figure.series[s].name,
            _value(drawn.figure.x_measure, point.x),
            _value(drawn.figure.y_measure, point.y),
        )
        rows.append((f"{s} {p}", cells))
    return rows
