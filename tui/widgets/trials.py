"""A study's trials as the rows of a table, and its curve."""

from collections.abc import Mapping, Sequence

from engine.errors import SecateurError, sentences
from engine.measures.table import measure, measure_text
from engine.params.preset import Plot as PlotParams
from engine.plotting.figure import Figure
from engine.presets.yaml.flow import as_written
from engine.results import pick, searches
from engine.results.failures import reasons_of
from engine.results.remarks import remarks
from engine.results.summary import path_values, quality_name
from engine.studies.state import StudyState, TrialState
from engine.studies.status import OPEN
from engine.text import numbers
from engine.text.phrases import last_parts
from tui.keys.action import hint
from tui.widgets.table import Cell, Column, Row

RESULTS = ("sparsity", "nonzero_parameters")
"""What the list of trials shows beside their quality, where there is room for more than the parameters."""

NO_VALUE = "No curve: no trial has a value."
UNTRAINED = "No curve: nothing was trained."


def listed(state: StudyState, picked: TrialState | None) -> tuple[list[Row], list[Column]]:
    """The trials as rows, the picked one marked, and the columns that they have."""
    from engine.charts.lines import parameter_names

    names = parameter_names(state)
    known = state.status in OPEN or any(trial.results for trial in state.trials)
    quality = quality_name(state)
    # Of a search, candidates are scored on validation images alone.
    judged = (f"validation_{quality}", quality) if searches.is_search(state) else (quality,)
    results = (*judged, *RESULTS) if known else ()
    why = {i: n for n, reason in enumerate(reasons_of(state.trials), 1) for i in reason.trials}
    why = why if len(set(why.values())) > 1 else {}
    ends = path_values(state, names)
    rows = [
        row(state, trial, ends, results, why.get(trial.index, 0), trial is picked) for trial in state.trials
    ]
    return rows, columns(names, results)


def figure_of(state: StudyState | None, plot: PlotParams | None, picks: Sequence[TrialState] = ()) -> Figure:
    """The chart of a study as its preset wants it, as far as it has results."""
    if state is None:
        return Figure()
    from engine.charts import trials

    wanted = trials.default_plot(state, plot)
    if wanted is None:
        return Figure()
    try:
        return trials.figure([state], wanted.x, wanted.y, wanted.by, scale=wanted.scale, picks=picks)
    except SecateurError:
        # What the preset plots is not measured yet.
        return Figure()


def without_curve(
    state: StudyState | None, plot: PlotParams | None, along: str = f"x in {hint('curves')}"
) -> str:
    """Why a study that has ended has no curve; empty while it may get one. `along` chooses what to draw along."""
    if state is None or state.status in OPEN:
        return ""
    from engine.charts import trials

    if not any(trial.results for trial in state.trials):
        return NO_VALUE
    wanted = trials.default_plot(state, plot)
    if wanted is None:
        return sentences(trials.UNSWEPT.format(study=state.name), trials.CHOOSE.format(by=along))
    return f"No curve: no trial has {wanted.y} along {wanted.x}."


def columns(names: Sequence[str], results: Sequence[str]) -> list[Column]:
    """The columns of the list of trials: how it stands and what came of it before what it was made from."""
    swept = [Column(name, widest=14, rank=place) for place, name in enumerate(last_parts(names), 1)]
    measured = [
        Column(measure(name).short or name, "right", rank=len(names) + place if place else 0)
        for place, name in enumerate(results)
    ]
    return [Column("#", "right"), Column("state", widest=30), *measured, *swept]


def row(
    state: StudyState,
    trial: TrialState,
    ends: Mapping[str, Mapping[str, str]],
    results: Sequence[str],
    reason: int = 0,
    picked: bool = False,
) -> Row:
    """A trial's line; `reason` is the number of the reason for which it failed, where there are several.

    `ends` has the parameters to show, each with how its paths are (`engine.results.summary.path_values`).
    """
    known = trial.results
    values: list[Cell] = [measure_text(name, known[name]) if name in known else "" for name in results]
    swept: list[Cell] = [
        paths.get(as_written(value := trial.parameters.get(name, "")), shown(value))
        for name, paths in ends.items()
    ]
    number: Cell = (f"{pick.MARK}{trial.index}", "good") if picked else str(trial.index)
    return Row(str(trial.index), (number, state_cell(state, trial, reason), *values, *swept))


def state_cell(state: StudyState, trial: TrialState, reason: int = 0) -> Cell:
    """A trial's state: what it is doing, or that it waits for its turn after steps it shares with others."""
    match standing := state.standing(trial):
        case "running" if any(step.status == "running" for step in trial.chain):
            return f"» {trial.progress * 100:.0f} %", "accent"
        case "running":
            return f"· {trial.progress * 100:.0f} % waits", "muted"
        case "waiting":
            return "· waits", "muted"
        case "scored":
            return "+ scored, latency " + ("to come" if state.status in OPEN else "missing"), "good"
        case "done":
            said = remarks(trial)
            return (f"+ done, {said[0]['remark']}", "warn") if said else ("+ done", "good")
        case "unfinished" | "not run":
            return f"· {standing}", "muted"
        case "failed":
            return f"! failed ({reason})" if reason else "! failed", "bad"


def shown(value: object) -> str:
    return (
        numbers.number(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else as_written(value)
    )
