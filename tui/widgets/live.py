"""The study beside the preset: how far it is, its curve, its trials."""

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from engine.errors import SecateurError
from engine.measures.table import measure, measure_text
from engine.params.preset import Pick as Rule
from engine.params.preset import Plot as PlotParams
from engine.plotting.figure import Figure
from engine.results import latency_targets, pick
from engine.results.failures import reasons_of
from engine.results.summary import path_values, quality_name
from engine.studies.settings import StudySettings
from engine.studies.state import StudyState, TrialState
from engine.studies.status import OPEN
from engine.text import numbers
from tui.widgets.ending import Endings
from tui.widgets.plot import Plot
from tui.widgets.progress import Progress
from tui.widgets.table import Cell, Column, Row, Table
from tui.widgets.verdict import Verdict

NOTHING = "No study yet: F9 runs the preset, and its curve appears here."
MOST_LINES = 11
"""Lines that say what became of a study, so that a curve and some trials stay in view on a small terminal."""
RESULTS = ("sparsity", "nonzero_parameters")
"""What the list of trials shows beside their quality, where there is room for more than the parameters."""


class Live(Vertical):
    """Progress, curve and trials of one study."""

    asked: pick.Asked = None
    """What is asked for of the pick in place of what the preset says."""

    def _rule(self, settings: StudySettings | None) -> Rule:
        return pick.rule(settings, self.asked) if settings else pick.STANDARD

    def compose(self) -> ComposeResult:
        yield Progress(NOTHING)
        yield Verdict()
        yield Endings()
        yield Plot(id="curve")
        yield Table([Column("trial")], "", id="trials")

    def show(
        self, state: StudyState | None, settings: StudySettings | None, expected: float | None = None
    ) -> None:
        """Show a study as it stands; its settings say what to plot and pick, `expected` is its estimate in seconds."""
        self.query_one(Progress).show(state, expected)
        picked = pick.pick(state, self._rule(settings)) if state else None
        self.query_one(Verdict).show(pick.verdict(picked) if picked else "")
        live = state is not None and state.status in OPEN
        figure = figure_of(state, settings.plot if settings else None, [picked.trial] if picked else [])
        self.query_one(Plot).show(figure, live=live, ended=state is not None and not live)
        again = "F9 runs the preset as it is now" if state is not None and not live else ""
        self.query_one(Endings).show([state] if state else [], MOST_LINES, again)
        table = self.query_one(Table)
        if state is None:
            table.fill([], [Column("trial")])
            return
        from engine.charts.lines import parameter_names

        names = parameter_names(state)
        known = live or any(trial.results for trial in state.trials)
        results = (quality_name(state), *RESULTS) if known else ()
        why = {i: n for n, reason in enumerate(reasons_of(state.trials), 1) for i in reason.trials}
        why = why if len(set(why.values())) > 1 else {}
        ends = path_values(state, names)
        rows = [
            row(
                state,
                trial,
                ends,
                results,
                why.get(trial.index, 0),
                picked is not None and trial is picked.trial,
            )
            for trial in state.trials
        ]
        table.fill(rows, columns(names, results))


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


def columns(names: Sequence[str], results: Sequence[str]) -> list[Column]:
    """The columns of the list of trials: how it stands and what came of it before what it was made from."""
    swept = [Column(short(name, names), widest=14, rank=place) for place, name in enumerate(names, 1)]
    measured = [
        Column(measure(name).short or name, "right", rank=len(names) + place if place else 0)
        for place, name in enumerate(results)
    ]
    return [Column("#", "right"), Column("state", widest=30), *measured, *swept]


def short(name: str, names: Sequence[str]) -> str:
    """A parameter's last word, if no other has it too."""
    last = name.rpartition(".")[2]
    return name if sum(other.rpartition(".")[2] == last for other in names) > 1 else last


def row(
    state: StudyState,
    trial: TrialState,
    ends: Mapping[str, Mapping[str, str]],
    results: Sequence[str],
    reason: int = 0,
    picked: bool = False,
) -> Row:
    """A trial's line; `reason` is the number of that for which it failed, where there are several.

    `ends` has the parameters to show, each with how its paths are (`engine.results.summary.path_values`).
    """
    known = trial.results
    values: list[Cell] = [measure_text(name, known[name]) if name in known else "" for name in results]
    swept: list[Cell] = [
        paths.get(str(value := trial.parameters.get(name)), shown(value)) for name, paths in ends.items()
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
            missed = latency_targets.remarks(trial)
            return (f"+ done, {missed[0]['remark']}", "warn") if missed else ("+ done", "good")
        case "unfinished" | "not run":
            return f"· {standing}", "muted"
        case "failed":
            return f"! failed ({reason})" if reason else "! failed", "bad"


def shown(value: object) -> str:
    return (
        numbers.number(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )
