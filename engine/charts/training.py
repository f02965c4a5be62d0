"""Training curves: loss, accuracy and learning rate by epoch, a line for every training step, one after the other."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from engine.charts.lines import parameter_names
from engine.charts.owner import Owner
from engine.measures.table import QUALITIES, drawn, measure
from engine.plotting.axis import Scale
from engine.plotting.figure import Figure, Point, Series
from engine.results.summary import in_words
from engine.studies.state import StepState, StudyState, TrialState
from engine.text.numbers import percent


def measures(states: Sequence[StudyState]) -> list[str]:
    """The measures that some epoch of the studies has, what models are judged by first."""
    epochs = [epoch for state in states for step in state.steps.values() for epoch in step.epochs[:1]]
    names = sorted(drawn("epoch"), key=lambda name: name.removeprefix("validation_") not in QUALITIES)
    return [name for name in names if any(epoch.value(name) is not None for epoch in epochs)]


def figure(
    states: Sequence[StudyState], y: str, *, scale: Scale = "linear", only: Collection[str] | None = None
) -> Figure:
    """The curves of several studies; a step that trials share is one line. `y` is one of `measures`.

    Where a trial trains several times, as in fine-tuning, each line goes on along x where the one before it ends.
    A point's owner is its step's trials. `only`: those of the steps with these keys.
    """
    lines = []
    for state in states:
        prefix, told_by = f"{state.name} " if len(states) > 1 else "", varied(state)
        shown = [(step, trials) for step, trials in _steps(state) if only is None or step.key in only]
        keys = {step.key for step, _ in shown}
        for step, trials in shown:
            before = _epochs_before(step, trials[0], keys)
            values = ((float(before + epoch.epoch), epoch.value(y)) for epoch in step.epochs)
            owner = Owner(state, trials)
            points = tuple(Point(number, value, owner=owner) for number, value in values if value is not None)
            lines.append(Series(prefix + step_name(state, step, trials, told_by), points))
    return Figure(x_label="epoch", y_label=measure(y).label, series=tuple(lines), y_scale=scale, y_measure=y)


def with_epochs(figure: Figure, epochs: int) -> Figure:
    """The figure with an x axis for so many epochs, so that one that grows stands still."""
    return replace(figure, x_limits=(0.0, float(max(epochs, 1))))


def _steps(state: StudyState) -> list[tuple[StepState, tuple[TrialState, ...]]]:
    """The steps that have trained at least an epoch, each with the trials that use it."""
    users: dict[str, list[TrialState]] = {}
    for trial in state.trials:
        for step in trial.steps:
            users.setdefault(step.key, []).append(trial)
    return [(state.steps[key], tuple(trials)) for key, trials in users.items() if state.steps[key].epochs]


def _epochs_before(step: StepState, trial: TrialState, drawn: Collection[str]) -> int:
    """The epochs of the trial's trainings before a step, of those that are drawn."""
    before = takewhile(lambda one: one.key != step.key, trial.steps)
    return sum(one.epochs[-1].epoch for one in before if one.key in drawn)


def varied(state: StudyState) -> frozenset[str]:
    """The parameters in which some of a study's trials differ."""
    first = state.trials[0].parameters if state.trials else {}
    return frozenset(
        name
        for name in parameter_names(state)
        if any(trial.parameters.get(name) != first.get(name) for trial in state.trials)
    )


def step_name(
    state: StudyState, step: StepState, trials: Sequence[TrialState], told_by: Collection[str]
) -> str:
    """The step, and what tells its trials from the others; `told_by` is what is `varied` in the study."""
    if len(trials) == len(state.trials) > 1:
        return step.address
    same = {
        name: value
        for name, value in trials[0].parameters.items()
        if name in told_by and all(trial.parameters.get(name) == value for trial in trials)
    }
    short = {name: text for name, value in same.items() if (text := _short(name, value))}
    rest = in_words({name: value for name, value in same.items() if name not in short})
    return " ".join([step.address, *short.values(), *rest])


def _short(name: str, value: object) -> str:
    """A value that tells by itself what it is of; empty for others."""
    if measure(name).kind == "fraction" and isinstance(value, int | float):
        return percent(value, 0)
    return value if isinstance(value, str) else ""
