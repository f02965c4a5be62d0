"""What a study found, from its state: rows for tables, JSON for programs, series for plots."""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.measures import latency
from engine.measures.table import QUALITIES
from engine.presets.yaml.flow import as_written
from engine.results import sensitivity
from engine.results.remarks import remarks
from engine.studies.state import StudyState, TrialState
from engine.text.phrases import last_parts
from engine.text.tables import path_ends

PACKED = "size.packed"


def quality_name(state: StudyState) -> str:
    """What the study's models are judged by: `map50_95` where a step has shown one, else `accuracy`."""
    for step in state.steps.values():
        shown = [step.measures, *(epoch.measures for epoch in step.epochs[:1])]
        for name in QUALITIES:
            if any(measures.get(f"validation_{name}") is not None for measures in shown):
                return name
    return QUALITIES[0]


def quality_of(measures: dict[str, Any], prefix: str = "") -> tuple[str, float] | None:
    """Name and value of what a model is judged by among its measures; `prefix` may be `validation_`."""
    for name in QUALITIES:
        value = measures.get(prefix + name)
        if isinstance(value, int | float):
            return name, float(value)
    return None


MOST_QUALITIES = 32
"""Models whose quality a study's status holds: more than a line in a list can show."""


def qualities(state: StudyState) -> list[float]:
    """What the models of the trials that are done are judged by, in the order of the trials; of many, evenly chosen
    ones."""
    found = [quality_of(trial.results) for trial in state.trials if trial.scored]
    values = [round(value, 4) for _, value in filter(None, found)]
    step = max(1, -(-len(values) // MOST_QUALITIES))
    return values[::step]


def measure_value(results: dict[str, Any], name: str) -> float | None:
    """A measure by its dotted name: `accuracy`, `size.packed`, `latency.onnxruntime.1`, `speedup.torch.32`.

    None while it is not there. `latency`, `speedup` and `throughput` mean the first row that fits (see
    `engine.measures.latency`).
    """
    if latency.is_name(name):
        row = latency.find(results, name)
        return latency.value(row, latency.parse(name).field) if row else None
    value: Any = results
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def baseline_value(trial: TrialState, name: str) -> float | None:
    """A measure of the trial's baseline; its latency is the one measured beside the trial's own."""
    if latency.is_name(name):
        row = latency.find(trial.results, name)
        return latency.value(latency.of_baseline(row), latency.parse(name).field) if row else None
    return measure_value(trial.baseline_measure.found, name)


def path_values(state: StudyState, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """By parameter: how its values that are paths are shown, by the end that tells them apart."""
    return {
        name: path_ends(as_written(trial.parameters.get(name)) for trial in state.trials) for name in names
    }


def trial_value(trial: TrialState, name: str) -> int | float | str | None:
    """A trial's parameter or measure; None while it is not there."""
    if name in trial.parameters:
        value = trial.parameters[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return as_written(value)
        return value
    return measure_value(trial.results, name)


def dotted(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by their dotted names.

    >>> dotted({"device": "cpu", "packages": {"torch": "2.14.1"}})
    {'device': 'cpu', 'packages.torch': '2.14.1'}
    """
    out: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and bool(value)
        out |= dotted(value, f"{above}{name}.") if nested else {f"{above}{name}": value}
    return out


def in_words(parameters: Mapping[str, Any]) -> list[str]:
    """A trial's parameters by their last names, where these tell them apart: `speedup 2.07`, `criterion l2`,
    `quantize.static off`.

    That a step is on is said where no other parameter of it says so.
    """
    parts = []
    for (name, value), short in zip(parameters.items(), last_parts([*parameters]), strict=True):
        step, _, last = name.rpartition(".")
        if last != "enabled":
            parts.append(f"{short} {as_written(value)}")
        elif not value:
            parts.append(f"{step} off")
        elif not any(one.startswith(f"{step}.") for one in parameters if one != name):
            parts.append(f"{step} on")
    return parts


def but_seed(trial: TrialState) -> tuple[tuple[str, str], ...]:
    """A trial's parameters without its seed, names with texts: trials of which they are the same are judged, and drawn,
    by their mean."""
    return tuple((name, as_written(value)) for name, value in trial.parameters.items() if name != "seed")


def measure_names(state: StudyState) -> list[str]:
    """Every measure that some finished trial of the study has, in a fixed order."""
    names: dict[str, None] = {}
    every = [trial.results for trial in state.trials]
    for results in every:
        for name, value in results.items():
            if isinstance(value, dict):
                names |= {f"{name}.{part}": None for part in value}
            elif isinstance(value, int | float) and not isinstance(value, bool):  # what else is told of a row
                names[name] = None
    return [*names, *latency.names(every)]


def trial_json(trial: TrialState) -> dict[str, Any]:
    """One trial as `run --json` and `show --json` print it."""
    out: dict[str, Any] = {
        "index": trial.index,
        "parameters": trial.parameters,
        "status": trial.status,
        "results": trial.results,
    }
    if said := remarks(trial):
        out["remarks"] = said
    if trial.error:
        out["error"] = trial.error
    return out


def study_json(state: StudyState) -> dict[str, Any]:
    """A whole study: `study`, `status`, `baseline`, `trials`, `environment`; `checked` (what was found of data and
    networks before the first step) and `sensitivity` if it has them."""
    baselines = _baselines(state)
    out: dict[str, Any] = {
        "study": state.name,
        "preset": state.preset,
        "status": state.status,
        "baseline": baselines[0] if baselines else None,
        "trials": [trial_json(trial) for trial in state.trials],
        "environment": state.environment | state.devices,
    }
    if len(baselines) > 1:
        out["baselines"] = baselines
    if state.checked:
        out["checked"] = {"data": state.checked.data, "networks": state.checked.networks}
    if scanned := sensitivity.as_json(state):
        out["sensitivity"] = scanned
    if state.error:
        out["error"] = state.error
    if state.verdict:
        out["verdict"] = {"identical": state.verdict.identical, "differences": state.verdict.differences}
    return out


def _baselines(state: StudyState) -> list[dict[str, Any]]:
    """Each distinct baseline with its results and the trials that are compared with it. A search scores its own on the
    test split for the finalists alone."""
    baselines: dict[str, dict[str, Any]] = {}
    for trial in state.trials:
        step = trial.baseline_measure
        entry = baselines.setdefault(trial.baseline, {"results": {}, "trials": []})
        entry["results"] = step.measures | step.observations | entry["results"]
        entry["trials"].append(trial.index)
    return list(baselines.values())
