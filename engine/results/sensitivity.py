"""What the sensitivity steps of a study found, for tables, charts and exports."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine.presets.yaml.flow import as_written
from engine.studies.state import StepState, StudyState, TrialState

KIND = "sensitivity"
"""The step's kind, and the name of what it found among its measures."""
PLACE = ("layer", "rate")
"""What says which row it is; all else in it is measured."""


@dataclass(frozen=True)
class Scan:
    """A sensitivity step; where trials differ in their seed, all of its runs together.

    `label` is what tells it from the same step in other trials, such as `taylor`; `runs` is what each run
    found: `of`, `criterion`, `reference`, `rows`. `beside`: no trial goes on from the step, as a search's tables.
    """

    address: str
    label: str
    trials: tuple[TrialState, ...]
    runs: tuple[dict[str, Any], ...]
    beside: bool = False

    @property
    def of(self) -> str:
        return str(self.runs[0].get("of", ""))

    @property
    def criterion(self) -> str:
        return str(self.runs[0].get("criterion", ""))

    @property
    def layers(self) -> list[str]:
        """In the model's order."""
        return list(dict.fromkeys(row["layer"] for run in self.runs for row in run["rows"]))

    @property
    def measures(self) -> list[str]:
        """What was measured at each rate."""
        return [name for name in self.runs[0]["reference"] if name not in PLACE]

    @cached_property
    def _values(self) -> dict[tuple[str, str], dict[float, list[float]]]:
        values_at: dict[tuple[str, str], dict[float, list[float]]] = {}
        for run in self.runs:
            for row in run["rows"]:
                for name in self.measures:
                    if isinstance(value := row.get(name), int | float):
                        rates = values_at.setdefault((row["layer"], name), {})
                        rates.setdefault(float(row["rate"]), []).append(float(value))
        return values_at

    def values(self, layer: str, name: str) -> dict[float, list[float]]:
        """The layer's measure over its rates, ascending: a value for every run."""
        return dict(sorted(self._values.get((layer, name), {}).items()))

    def mean(self) -> dict[str, Any]:
        """What the runs found on average, in the form of one."""
        rows: dict[tuple[str, float], dict[str, Any]] = {}
        for (layer, name), rates in self._values.items():
            for rate, values in rates.items():
                row = rows.setdefault((layer, rate), {"layer": layer, "rate": rate})
                row[name] = statistics.fmean(values)
        reference = {
            name: statistics.fmean(values)
            for name in self.measures
            if (values := [run["reference"][name] for run in self.runs if name in run["reference"]])
        }
        about = {"of": self.of, "criterion": self.criterion, "reference": reference}
        return about | {"rows": list(rows.values())}


def scans(state: StudyState) -> list[Scan]:
    """The study's finished sensitivity steps, in the order of its trials."""
    groups: dict[tuple[str, str], list[tuple[StepState, tuple[TrialState, ...]]]] = {}
    for step, trials in _steps(state):
        groups.setdefault((step.address, _label(state, trials)), []).append((step, trials))
    return [
        Scan(
            address,
            label,
            tuple(trial for _, trials in members for trial in trials),
            tuple(scanned for step, _ in members if (scanned := found_by(step)) is not None),
            all(step in trial.beside for step, trials in members for trial in trials),
        )
        for (address, label), members in groups.items()
    ]


def steps_of(trial: TrialState) -> list[StepState]:
    """The trial's sensitivity steps, finished or not: those beside it before its own."""
    return [step for step in (*trial.beside, *trial.steps) if step.kind == KIND]


def of_trial(trial: TrialState) -> dict[str, dict[str, Any]]:
    """What the trial's sensitivity steps found, by what they removed: the last of each; its own before those beside."""
    scanned = [one for step in steps_of(trial) if (one := found_by(step)) is not None]
    return {str(one.get("of", "")): one for one in scanned}


def found_by(step: StepState) -> dict[str, Any] | None:
    """What the step found; None for one of another kind, an unfinished one, and one that can't be understood."""
    scanned = step.measures.get(KIND) if isinstance(step.measures, dict) else None
    if not isinstance(scanned, dict) or not isinstance(scanned.get("reference"), dict):
        return None
    rows = [row for row in scanned.get("rows") or () if _understood(row)]
    return {**scanned, "rows": rows} if rows else None


def as_json(state: StudyState) -> list[dict[str, Any]]:
    """Every sensitivity step with its trials and all that it found."""
    return [
        {"step": step.address, "trials": [trial.index for trial in trials], **(found_by(step) or {})}
        for step, trials in _steps(state)
    ]


def _steps(state: StudyState) -> Iterable[tuple[StepState, tuple[TrialState, ...]]]:
    """The finished sensitivity steps, each with the trials that use it or that it stands beside."""
    users: dict[str, list[TrialState]] = {}
    steps: dict[str, StepState] = {}
    for trial in state.trials:
        for step in steps_of(trial):
            if found_by(step) is not None:
                steps[step.key] = step
                users.setdefault(step.key, []).append(trial)
    return [(step, tuple(users[key])) for key, step in steps.items()]


def _understood(row: object) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("layer"), str)
        and isinstance(row.get("rate"), int | float)
    )


def _label(state: StudyState, trials: Sequence[TrialState]) -> str:
    """The parameters that all of these trials have in common and others do not, but for the seed."""
    return " ".join(
        as_written(value)
        for name, value in trials[0].parameters.items()
        if name != "seed"
        and all(trial.parameters.get(name) == value for trial in trials)
        and any(trial.parameters.get(name) != value for trial in state.trials)
    )
