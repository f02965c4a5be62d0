"""What a study found, from its state: rows for tables, JSON for programs, series for plots."""

from typing import Any

from engine import scans
from engine.state import StudyState, TrialState

NOISY_LOAD = 0.1
"""Share of the processors' time that others may take while latency is measured; beyond, it is marked."""
TOLERATED_LOSS = 0.01
"""Validation accuracy that the model to look at first may lose against its baseline: one point."""


def best_trial(state: StudyState) -> dict[str, Any]:
    """The smallest model that loses at most one point of validation accuracy, else the most accurate one.

    Chosen on validation; its test accuracy is only reported.
    """
    done = [trial for trial in state.trials if trial.measure.status == "done"]
    if not done:
        return {}
    close = [t for t in done if _loss(t) <= TOLERATED_LOSS]
    if close:
        best = min(close, key=lambda t: (t.results["nonzero_parameters"], -t.results["validation_accuracy"]))
    else:
        best = max(done, key=lambda t: t.results["validation_accuracy"])
    results = best.results
    return {name: results[name] for name in ("accuracy", "sparsity", "nonzero_parameters")} | {
        "index": best.index
    }


def _loss(trial: TrialState) -> float:
    before = trial.baseline_measure.measures.get("validation_accuracy", 0.0)
    loss: float = before - trial.results["validation_accuracy"]
    return loss


def measure_value(results: dict[str, Any], name: str) -> float | None:
    """A measure by its dotted name: `accuracy`, `size.packed`, `latency.onnxruntime.1`, `speedup.torch.32`.

    None while it is not there. `latency` and `speedup` alone mean the first runtime and batch measured.
    """
    head, _, rest = name.partition(".")
    if head in ("latency", "speedup"):
        return _latency(results.get("latency") or [], "median_ms" if head == "latency" else "speedup", rest)
    value: Any = results
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _latency(rows: list[dict[str, Any]], field: str, which: str) -> float | None:
    runtime, _, batch = which.partition(".")
    for row in rows:
        if (not runtime or row["runtime"] == runtime) and (not batch or str(row["batch"]) == batch):
            return float(row[field])
    return None


def measure_names(state: StudyState) -> list[str]:
    """Every measure that some finished trial of the study has, in a fixed order."""
    names: dict[str, None] = {}
    for trial in state.trials:
        for name, value in trial.results.items():
            if name == "latency":
                for kind in ("latency", "speedup"):
                    names |= {f"{kind}.{row['runtime']}.{row['batch']}": None for row in value}
            elif isinstance(value, dict):
                names |= {f"{name}.{part}": None for part in value}
            elif isinstance(value, int | float):
                names[name] = None
    return list(names)


def trial_json(trial: TrialState) -> dict[str, Any]:
    """One trial as `run --json` and `show --json` print it."""
    out: dict[str, Any] = {
        "index": trial.index,
        "parameters": trial.parameters,
        "status": trial.status,
        "results": trial.results,
    }
    if trial.error:
        out["error"] = trial.error
    return out


def study_json(state: StudyState) -> dict[str, Any]:
    """A whole study: `study`, `status`, `baseline`, `trials`, `environment`, and `sensitivity` if it has one."""
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
    if found := scans.as_json(state):
        out["sensitivity"] = found
    if state.error:
        out["error"] = state.error
    if state.verdict:
        out["verdict"] = {"identical": state.verdict.identical, "differences": state.verdict.differences}
    return out


def _baselines(state: StudyState) -> list[dict[str, Any]]:
    """Each distinct baseline with its results and the trials that are compared with it."""
    found: dict[str, dict[str, Any]] = {}
    for trial in state.trials:
        step = trial.baseline_measure
        entry = found.setdefault(step.key, {"results": step.measures | step.observations, "trials": []})
        entry["trials"].append(trial.index)
    return list(found.values())
