"""A study as text: its table, its chart, its environment."""

import statistics
import sys
from typing import Any

from engine.charts import trials
from engine.charts.lines import parameter_names
from engine.cli import sensitivity
from engine.cli.common import columns, say, say_picture, say_text
from engine.errors import SecateurError
from engine.measures import latency
from engine.measures.latency import NOISY_LOAD
from engine.measures.table import FIELDS, TABLE, measure, measure_text, row_place
from engine.params.preset import Plot
from engine.params.runtimes import KIND
from engine.plotting import text
from engine.results import failures, latency_targets, pick, requests
from engine.results.summary import measure_names, measure_value, path_values, quality_of, study_json
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState
from engine.text import numbers, tables


def as_json(run: RunDir, state: StudyState, within: float | None = None) -> dict[str, Any]:
    """The study as `--json` prints it, with its pick."""
    return study_json(state) | {"pick": pick.as_json(pick.pick(state, pick.rule(run.settings(), within)))}


def print_study(
    run: RunDir, state: StudyState, within: float | None = None, *, followed: bool = False
) -> None:
    """Table, chart and verdict on stdout; what was told at the start too, unless the study was just followed.

    The pick may lose `within` points instead of what its preset says.
    """
    settings = run.settings()
    choice = pick.pick(state, pick.rule(settings, within))
    say(heading(state))
    if state.checked and not followed:
        say(*state.checked.lines)
    if state.trials:
        say_text(table(state, columns(), choice))
    for rates in sensitivity.tables(state, columns()):
        say_text(f"\n{rates}")
    chart = chart_text(settings.plot, state, choice)
    if chart:
        say("")
        say_picture(chart)
    say(*closing(state, choice))


def heading(state: StudyState) -> str:
    """The study's name, how it stands, and what its numbers come from."""
    queue = f"\n{state.queue}" if state.queue else ""
    return _heading(state) + queue


def _heading(state: StudyState) -> str:
    cpu = state.environment.get("cpu", {})
    flags = [f.upper().replace("_", "-") for f in cpu.get("flags", []) if "vnni" in f or f == "amx_int8"]
    versions = state.environment.get("packages", {})
    if not state.environment:
        return f"{state.name} ({state.status})"
    where = [
        state.host,
        f"{state.devices.get('threads', '?')} threads of {cpu.get('model', 'an unknown processor')}",
        " ".join(flags),
        f"torch {versions.get('torch', '?')}",
        f"onnxruntime {versions.get('onnxruntime', '?')}",
    ]
    return f"{state.name} ({state.status}) · " + " · ".join(part for part in where if part)


def table(state: StudyState, width: int, picked: pick.Pick | None = None) -> str:
    """The baseline and one row a trial: parameters, then measures, those a reader compares first.

    The picked trial and those with remarks are marked; `closing` says what they are.

    What does not fit into `width` columns is left out from the right; `show --json` has everything.
    """
    names = parameter_names(state)
    measures = _columns(state, names)
    unfinished = ["status"] if any(trial.status != "done" for trial in state.trials) else []
    ends = path_values(state, names)
    headers = ["trial", *_short(names), *unfinished, *[_header(m) for m in measures]]
    text_columns: list[tables.Align] = ["left"] * (len(names) + len(unfinished))
    rows = [["base", *["" for _ in text_columns], *_baseline_cells(state, measures)]]
    for trial in state.trials:
        values = [ends[n].get(value := str(trial.parameters.get(n, "")), value) for n in names]
        status = [state.standing(trial)] if unfinished else []
        mark = latency_targets.MARK if latency_targets.remarks(trial) else ""
        if picked is not None and trial is picked.trial:
            mark = pick.MARK + mark
        rows.append([f"{mark}{trial.index}", *values, *status, *(_cell(trial, m) for m in measures)])
    return tables.table(headers, rows, ["right", *text_columns], width)


def _short(names: list[str]) -> list[str]:
    """The last part of each dotted name where that is enough to tell them apart."""
    ends = [name.rpartition(".")[2] for name in names]
    return [end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)]


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
        (value := measure_value(trial.results, name)) is not None
        and value != measure_value(trial.baseline_measure.measures, name)
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
        return f"{100 * (now[1] - before[1]):+.2f}" if now and before else numbers.MISSING
    text = measure_text(name, value)
    if name.startswith("latency."):
        speedup = measure_value(trial.results, name.replace("latency", "speedup", 1))
        mark = "~" if _disturbed(trial, name) else ""
        return f"{mark}{text} {speedup:.2f}×" if speedup is not None else text
    return text


def _disturbed(trial: TrialState, name: str) -> bool:
    """Whether other programs took so much of the processors that the latency should be measured again."""
    row = latency.find(trial.results, name)
    return row is not None and row.get("foreign_load", 0.0) > NOISY_LOAD


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


def chart_text(wanted: Plot | None, state: StudyState, picked: pick.Pick | None = None) -> str:
    """The study's chart, which its preset may have `wanted`, or an empty text where there is nothing to draw."""
    picks = [picked.trial] if picked else []
    plot = trials.default_plot(state, wanted)
    if plot is None or not any(t.measure.status == "done" for t in state.trials):
        return ""
    try:
        figure = trials.figure([state], plot.x, plot.y, plot.by, log=plot.log, picks=picks)
    except (
        SecateurError
    ):  # what the preset plots was not measured; the table and `closing` say what was, and why
        return ""
    out = sys.stdout
    chart = text.draw(figure, *text.size_for(out), text.wants_colour(out), text.wants_ascii(out))
    return chart if wanted in (None, plot) else f"{chart}\n{trials.UNMEASURED}"


def closing(state: StudyState, picked: pick.Pick | None = None) -> list[str]:
    """What to remember of the study: the model to take, errors, the verdict of a replay."""
    lines = reused_lines(state)
    if picked is not None:
        lines.append(pick.verdict(picked))
    loads = [
        row.get("foreign_load", 0.0) for trial in state.trials for row in trial.results.get("latency", [])
    ]
    if any(load > NOISY_LOAD for load in loads):
        lines.append(
            f"~ latency measured while other programs took up to {numbers.percent(max(loads), 0)} of the processors' "
            f"time; on a quiet machine `secateur resume {state.name} --remeasure` measures those again"
        )
    lines += latency_targets.closing(state.trials)
    lines += [f"{_which(indices)}: {note}" for note, indices in _latency_notes(state).items()]
    lines += requests.lines(state)
    lines += failures.lines(state)
    if state.verdict:
        lines += verdict_lines(state.verdict.identical, state.verdict.compared, state.verdict.differences)
        lines += [_changed(change) for change in state.verdict.environment]
        lines += recorded_lines(state.verdict.recorded)
    return lines


def reused_lines(state: StudyState) -> list[str]:
    """Which results were in the store already: no number of them was computed by this study."""
    done = [step for step in state.steps.values() if step.status == "done"]
    reused = [step for step in done if step.reused]
    if not reused:
        return []
    names = ", ".join(dict.fromkeys(step.address for step in reused))
    return [f"reused from the store: {len(reused)} of {len(done)} results ({names})"]


def _latency_notes(state: StudyState) -> dict[str, list[int]]:
    """What to know of the latencies, with the trials that it is true of."""
    by_note: dict[str, list[int]] = {}
    for trial in state.trials:
        for note in latency.notes(trial.results):
            by_note.setdefault(note, []).append(trial.index)
    return by_note


def _which(indices: list[int]) -> str:
    """
    >>> _which([3]), _which([0, 1, 2, 5])
    ('trial 3', 'trials 0-2, 5')
    """
    return f"trial{'' if len(indices) == 1 else 's'} {failures.spans(indices)}"


def recorded_lines(steps: int) -> list[str]:
    """What a replay did not measure anew: times do not repeat, decisions made by them do."""
    if not steps:
        return []
    which = "1 step" if steps == 1 else f"{steps} steps"
    return [f"  {which} decided by measured times: the replay used the original's, which it recorded"]


def verdict_lines(identical: bool, compared: int, differences: list[dict[str, Any]]) -> list[str]:
    if identical:
        return [f"replay: identical in all {compared} numbers and models"]
    lines = [f"replay: DIFFERENT in {len(differences)} of {compared} numbers and models"]
    for difference in differences[:20]:
        by = f" (by {difference['by']:.3g})" if difference.get("by") is not None else ""
        lines.append(f"  {difference['where']}: {difference['original']} became {difference['replay']}{by}")
    return lines


def _changed(change: dict[str, Any]) -> str:
    return f"another environment: {change['what']} was {change['original']}, is {change['replay']}"
