"""The table of a study's trials: which measures a reader compares first, and each trial's cells."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from engine.charts import trials
from engine.charts.lines import parameter_names
from engine.measures import latency
from engine.measures.table import FIELDS, QUALITIES, TABLE, measure, measure_text, row_place
from engine.params.runtimes import KIND
from engine.presets.yaml.flow import as_written
from engine.results import pick, searches
from engine.results.remarks import MARK, remarks
from engine.results.summary import (
    PACKED,
    baseline_value,
    measure_names,
    measure_value,
    path_values,
    quality_of,
)
from engine.studies.state import StudyState, TrialState
from engine.text import numbers, tables
from engine.text.phrases import last_parts


@dataclass(frozen=True)
class Grid:
    """A table of texts; columns without an entry in `align` are numbers, to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: Sequence[tables.Align] = ("left",)

    @property
    def sides(self) -> list[tables.Align]:
        """The side of each column."""
        rest: list[tables.Align] = ["right"] * len(self.headers)
        return [*self.align, *rest][: len(self.headers)]


def table(state: StudyState, width: int | None, picked: pick.Pick | None = None) -> str:
    """`of_trials` as text.

    What does not fit into `width` columns is left out from the right, nothing where it is None.
    """
    grid = of_trials(state, picked)
    return tables.table(grid.headers, grid.rows, grid.align, width)


def of_trials(state: StudyState, picked: pick.Pick | None = None) -> Grid:
    """The baseline and one row a trial: parameters, then measures, those a reader compares first.

    The picked trial and those with remarks are marked; `remarks.closing` says what they are.
    """
    if searches.is_search(state):
        return _of_search(state, picked)
    names = parameter_names(state)
    measures = _columns(state, names)
    unfinished = ["status"] if any(trial.status != "done" for trial in state.trials) else []
    ends = path_values(state, names)
    headers = ["trial", *last_parts(names), *unfinished, *[_header(m) for m in measures]]
    text_columns: list[tables.Align] = ["left"] * (len(names) + len(unfinished))
    rows = [["base", *["" for _ in text_columns], *_baseline_cells(state, measures)]]
    for trial in state.trials:
        values = [ends[n].get(value := as_written(trial.parameters.get(n, "")), value) for n in names]
        status = [state.standing(trial)] if unfinished else []
        mark = MARK if remarks(trial) else ""
        if picked is not None and trial is picked.trial:
            mark = pick.MARK + mark
        rows.append([f"{mark}{trial.index}", *values, *status, *(_cell(trial, m) for m in measures)])
    return Grid(headers, rows, ["right", *text_columns])


def _of_search(state: StudyState, picked: pick.Pick | None) -> Grid:
    """The front of a search, its finalists and what they are compared with; `show --json` has every trial."""
    goal = picked.goal if picked and picked.goal not in QUALITIES else PACKED
    done = [trial for trial in state.trials if trial.status == "done"]
    candidates = [trial for trial in done if searches.role(trial) == searches.CANDIDATE]
    others = [trial for trial in done if trial not in candidates]
    more = [name for name in (PACKED, "effective_macs") if name != goal]
    rows = []
    for trial in (*others[:1], *searches.front(candidates, goal), *others[1:]):
        mark = pick.MARK if picked is not None and trial is picked.trial else ""
        rows.append(
            [
                f"{mark}{trial.index}",
                searches.named(trial),
                searches.quality(trial),
                searches.test_quality(trial),
                searches.amount(trial, goal),
                *(measure_text(name, measure_value(trial.results, name)) for name in more),
                searches.point(trial),
            ]
        )
    headers = ["trial", "the front, then finalists", "validation", "test", _header(goal), *map(_header, more)]
    left: list[tables.Align] = ["right", "left", "right", "right", "right", "right", "right", "left"]
    return Grid([*headers, "where"], rows, [*left[: len(headers)], "left"])


def _columns(state: StudyState, parameters: list[str]) -> list[str]:
    """Measures in the order of their weight for the reader; sparsity only if it is not a parameter already."""
    present = measure_names(state)
    latency = [name for name in present if name.startswith("latency.")]
    # First those that most trials have: an INT8 file runs in some runtimes only, and lines are short.
    latency.sort(key=lambda name: -sum(measure_value(t.results, name) is not None for t in state.trials))
    wanted = [(known.column, name) for name, known in TABLE.items() if known.column and name not in FIELDS]
    wanted += [(TABLE["latency"].column, name) for name in latency] + [(CHANGE_COLUMN, CHANGE)]
    swept = {name.rpartition(".")[2] for name in parameters}
    shown = []
    for _, name in sorted(wanted, key=lambda pair: pair[0]):
        changed = not measure(name).only_if_changed or (name not in swept and _differs(state, name))
        if name == CHANGE or (name in present and changed):
            shown.append(name)
    return shown


def _differs(state: StudyState, name: str) -> bool:
    """Whether a measure tells any trial from its baseline."""
    return any(
        (value := measure_value(trial.results, name)) is not None and value != baseline_value(trial, name)
        for trial in state.trials
    )


CHANGE = "points"
"""The column of test accuracy or mAP50-95 against the baseline, in points."""
CHANGE_COLUMN = 3
"""Its place in the table: behind what it is the change of."""


def _runtime(runtime: str) -> str:
    """A runtime in the head of a column."""
    return next((kind.short for name, kind in KIND.items() if name == runtime), runtime)


def _header(name: str) -> str:
    if name.startswith("latency."):
        runtime, *rest = name.split(".")[1:]
        return ", ".join([_runtime(runtime), *map(row_place, rest)])
    return measure(name).short or name


def _cell(trial: TrialState, name: str) -> str:
    value = measure_value(trial.results, name)
    if name == CHANGE:
        now, before = (quality_of(measures) for measures in (trial.results, trial.baseline_measure.measures))
        return f"{100 * (now[1] - before[1]):+z.2f}" if now and before else numbers.MISSING
    text = measure_text(name, value)
    if name.startswith("latency."):
        speedup = measure_value(trial.results, name.replace("latency", "speedup", 1))
        mark = latency.BESIDE_OTHERS if _disturbed(trial, name) else ""
        return f"{mark}{text} {speedup:.2f}×" if speedup is not None else text
    return text


def _disturbed(trial: TrialState, name: str) -> bool:
    """Whether other programs took so much of the processors that the latency should be measured again."""
    row = latency.find(trial.results, name)
    return row is not None and latency.disturbed(row)


def _baseline_cells(state: StudyState, measures: list[str]) -> list[str]:
    """The mean over the study's distinct baselines; latencies are the median of all its measurements."""
    steps = {t.baseline_measure.key: t.baseline_measure for t in state.trials}
    done = [step.measures for step in steps.values() if step.status == "done"]
    cells = []
    for name in measures:
        values = [v for results in done if (v := measure_value(results, name)) is not None]
        if name.startswith("latency."):
            values = trials.baseline_latencies(state.trials, name)
        middle = statistics.median if name.startswith("latency.") else statistics.fmean
        cells.append(
            measure_text(name, middle(values)) if values else "" if name == CHANGE else numbers.MISSING
        )
    return cells
