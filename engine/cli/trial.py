"""`show STUDY --trial N`: one trial in full."""

from typing import Any

from engine.cli.common import print_json, say, say_text, table_width
from engine.measures import latency, table
from engine.presets.yaml.flow import as_written
from engine.results import classes, failures
from engine.results import layers as layerforms
from engine.results.remarks import MARK, remarks
from engine.results.summary import (
    baseline_value,
    measure_names,
    measure_value,
    quality_name,
    quality_of,
    trial_json,
)
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState
from engine.text import numbers, tables


def show(run: RunDir, state: StudyState, trial: TrialState, *, as_json: bool) -> None:
    """Print a trial: parameters, steps, every measure against the baseline, layers."""
    layers = run.layers(trial.measure.key)
    of_classes = run.classes(trial.measure.key)
    if as_json:
        print_json(
            trial_json(trial)
            | {"steps": [_step_json(s) for s in trial.steps], "layers": layers, "classes": of_classes}
        )
        return
    values = ", ".join(f"{name} = {as_written(value)}" for name, value in trial.parameters.items())
    say(f"{run.name} trial {trial.index} ({state.standing(trial)}){': ' + values if values else ''}")
    say(*failures.trial_lines(state, trial))
    for remark in remarks(trial):
        say(f"{MARK} {remark['text']}")
    say_text(_steps(state, trial))
    if trial.results or trial.baseline_measure.measures:
        say_text(_measures(state, trial))
    if every := classes.results(of_classes, run.classes(trial.baseline_measure.key)):
        say_text(_classes(every))
    if rows := latency.measured(trial.results):
        say_text(_latency(rows))
    say(*latency.remarks(trial.results))
    if layers:
        say_text(_layers(layers))
    if made := layerforms.rows(layerforms.of_trial(trial)):
        say_text(_forms(made))
    if trial.measure.status == "done":
        say(f"model: {run.store().folder(trial.steps[-1].key)}")


def _step_json(step: Any) -> dict[str, Any]:
    return {
        "step": step.address,
        "status": step.status,
        "reused": step.reused,
        "seconds": step.seconds,
        "measures": step.measures,
        "observations": step.observations,
        "key": step.key,
    }


def _steps(state: StudyState, trial: TrialState) -> str:
    on_nodes = any("host" in step.observations for step in trial.chain)
    rows = [
        [
            step.address,
            state.standing(step) + (" (reused)" if step.reused else ""),
            numbers.duration(step.seconds),
            numbers.percent((quality_of(step.measures, "validation_") or ("", None))[1]),
            numbers.percent(step.measures.get("agreement")),
            numbers.percent(step.measures.get("sparsity"), 1),
            numbers.size(step.observations.get("peak_memory")),
            *([step.observations.get("host", "")] if on_nodes else []),
        ]
        for step in trial.chain
    ]
    judged = "validation" if quality_name(state) == "accuracy" else "validation mAP"
    headers = ["step", "status", "time", judged, "agreement", "sparsity", "peak memory"]
    headers += ["node"] if on_nodes else []
    return tables.table(headers, rows, ["left", "left"], table_width())


def _measures(state: StudyState, trial: TrialState) -> str:
    rows = []
    for name in measure_names(state):
        if latency.is_name(name):
            continue  # in a table of their own
        value = measure_value(trial.results, name)
        before = baseline_value(trial, name)
        if value is None and before is None:
            continue
        change = "" if value is None or before is None else table.change_text(name, value - before)
        rows.append([name, table.measure_text(name, value), table.measure_text(name, before), change])
    return tables.table(["measure", "this trial", "baseline", "difference"], rows, ["left"], table_width())


def _classes(every: list[classes.ClassResult]) -> str:
    rows = [classes.cells(one) for one in classes.shown(every)]
    aligned: list[tables.Align] = ["left", "right", "right", "right", "right", "left"]
    text = tables.table(list(classes.HEADS), rows, aligned, table_width())
    more = len(every) - len(rows)
    return text + (f"\n{more} more classes lost less: --json has all" if more else "")


def _latency(rows: list[latency.Row]) -> str:
    cells = [[text for _, text in latency.cells(row)] for row in rows]
    return tables.table(latency.HEADS, cells, ["left", "left"], table_width())


def _layers(layers: list[dict[str, Any]]) -> str:
    rows = [
        [
            layer["name"],
            layer["type"],
            "×".join(map(str, layer["shape"])),
            numbers.count(layer["parameters"]),
            numbers.percent(layer["sparsity"], 1),
            numbers.count(layer["macs"]),
            numbers.count(layer["effective_macs"]),
        ]
        for layer in layers
    ]
    headers = ["layer", "type", "shape", "parameters", "sparsity", "MACs", "eff. MACs"]
    return tables.table(headers, rows, ["left", "left", "left"], table_width())


def _forms(rows: list[list[str]]) -> str:
    return tables.table(
        ["layer", "made of its weights", "energy lost"], rows, ["left", "left"], table_width()
    )
