"""A study as text: its table, its chart, its environment."""

import statistics
import sys
from typing import Any

from engine import charts
from engine import format as fmt
from engine.commands.common import columns
from engine.plotting import text
from engine.rundir import RunDir
from engine.spec import Spec, parse
from engine.state import StudyState, TrialState
from engine.summary import best_trial, measure_value


def print_study(run: RunDir, state: StudyState) -> None:
    """Table, chart and verdict on stdout."""
    print(heading(state))
    print(table(state, columns()))
    chart = chart_text(run, state)
    if chart:
        print()
        print(chart)
    for line in closing(state):
        print(line)


def heading(state: StudyState) -> str:
    cpu = state.environment.get("cpu", {})
    flags = [f.upper().replace("_", "-") for f in cpu.get("flags", []) if "vnni" in f or f == "amx_int8"]
    versions = state.environment.get("packages", {})
    where = [
        state.host,
        f"{state.devices.get('threads', '?')} threads of {cpu.get('model', 'an unknown processor')}",
        " ".join(flags),
        f"torch {versions.get('torch', '?')}",
        f"onnxruntime {versions.get('onnxruntime', '?')}",
    ]
    return f"{state.name} ({state.status}) · " + " · ".join(part for part in where if part)


def table(state: StudyState, width: int) -> str:
    """One row a trial; parameters first, then what a reader compares."""
    names = charts.parameter_names(state)
    short = _short_names(names)
    measures = ["accuracy", "agreement", "sparsity", *_first_of(state)]
    headers = ["trial", *[short[n] for n in names], "status", *[_header(m) for m in measures]]
    rows = [_baseline_row(state, names, measures)]
    rows += [_row(trial, names, measures) for trial in state.trials]
    return fmt.table(headers, rows, ["right", *(["left"] * (len(names) + 1))], width)


def _short_names(names: list[str]) -> dict[str, str]:
    """The last part of each dotted name where that is enough to tell them apart."""
    ends = [name.rpartition(".")[2] for name in names]
    return {n: e if ends.count(e) == 1 else n for n, e in zip(names, ends, strict=True)}


def _header(name: str) -> str:
    return {
        "accuracy": "test acc.",
        "agreement": "agreement",
        "effective_macs": "eff. MACs",
        "nonzero_parameters": "non-zero",
        "size.packed": "packed",
        "size.gzip": "gzip",
        "size.plain": "plain",
    }.get(name, name.replace("onnxruntime", "ort"))


def _first_of(state: StudyState) -> list[str]:
    """Sizes and latencies that the study has."""
    found: dict[str, None] = {"effective_macs": None}
    for trial in state.trials:
        if "size" in trial.results:
            found |= {"size.plain": None, "size.gzip": None, "size.packed": None}
        for row in trial.results.get("latency", []):
            which = f"{row['runtime']}.{row['batch']}"
            found |= {f"latency.{which}": None, f"speedup.{which}": None}
    return list(found)


def _row(trial: TrialState, names: list[str], measures: list[str]) -> list[str]:
    values = [str(trial.parameters.get(n, "")) for n in names]
    cells = [fmt.measure_text(m, measure_value(trial.results, m)) for m in measures]
    return [str(trial.index), *values, trial.status, *cells]


def _baseline_row(state: StudyState, names: list[str], measures: list[str]) -> list[str]:
    """The mean over the study's distinct baselines; its latency is the median of all its measurements."""
    steps = {t.baseline_measure.key: t.baseline_measure for t in state.trials}
    done = [step.measures for step in steps.values() if step.status == "done"]
    cells = []
    for name in measures:
        values = [v for found in done if (v := measure_value(found, name)) is not None]
        if name.startswith("latency."):
            _, runtime, batch = name.split(".")
            values = [
                row["baseline_median_ms"]
                for t in state.trials
                for row in t.results.get("latency", [])
                if row["runtime"] == runtime and str(row["batch"]) == batch
            ]
        cells.append(fmt.measure_text(name, statistics.median(values) if values else None))
    return ["base", *["" for _ in names], "done" if done else "waiting", *cells]


def chart_text(run: RunDir, state: StudyState) -> str:
    """The study's default chart, or an empty text where there is nothing to draw."""
    plot = charts.default_plot(state, _spec(run).settings.plot)
    if plot is None or not any(t.measure.status == "done" for t in state.trials):
        return ""
    figure = charts.figure([state], plot.x, plot.y, plot.by, log=plot.log)
    out = sys.stdout
    return text.draw(figure, *text.size_for(out), text.wants_colour(out), text.wants_ascii(out))


def _spec(run: RunDir) -> Spec:
    return parse(run.preset.read_text(), run.name)


def closing(state: StudyState) -> list[str]:
    """What to remember of the study: the model to look at first, errors, the verdict of a replay."""
    lines = []
    best = best_trial(state)
    if best and len(state.trials) > 1:
        lines.append(
            f"smallest model within one point of its baseline (on validation): trial {best['index']}, "
            f"{fmt.percent(best['sparsity'], 1)} sparse, test accuracy {fmt.percent(best['accuracy'])}"
        )
    lines += [f"{_which(indices)} failed: {error}" for error, indices in _failures(state).items()]
    if state.error:
        lines.append(_sentence(state.error))
    if state.status == "lost":
        lines.append(f"The engine is gone: `secateur resume {state.name}` goes on where it was.")
    if state.verdict:
        lines += verdict_lines(state.verdict.identical, state.verdict.compared, state.verdict.differences)
        lines += [_changed(change) for change in state.verdict.environment]
    return lines


def _failures(state: StudyState) -> dict[str, list[int]]:
    """Each distinct error with the trials that ended in it."""
    found: dict[str, list[int]] = {}
    for trial in state.trials:
        if trial.error:
            found.setdefault(_sentence(trial.error), []).append(trial.index)
    return found


def _which(indices: list[int]) -> str:
    """
    >>> _which([3]), _which([0, 1, 2, 5])
    ('trial 3', 'trials 0-2, 5')
    """
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    text = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
    return f"trial {text}" if len(indices) == 1 else f"trials {text}"


def _sentence(error: dict[str, str]) -> str:
    return " ".join(part for part in (f"{error['title']}.", error["detail"], error["remedy"]) if part)


def verdict_lines(identical: bool, compared: int, differences: list[dict[str, Any]]) -> list[str]:
    if identical:
        return [f"replay: identical in all {compared} numbers and models"]
    lines = [f"replay: DIFFERENT in {len(differences)} of {compared} numbers and models"]
    for found in differences[:20]:
        by = f" (by {found['by']:.3g})" if found.get("by") is not None else ""
        lines.append(f"  {found['where']}: {found['original']} became {found['replay']}{by}")
    return lines


def _changed(change: dict[str, Any]) -> str:
    return f"another environment: {change['what']} was {change['original']}, is {change['replay']}"
