"""What a reader of a trial's numbers must know first, wherever they are read."""

from collections.abc import Iterable
from typing import Any

from engine.results import guessing, latency_targets
from engine.results.failures import which
from engine.studies.state import TrialState

MARK = "!"
"""Before the number of a trial that has remarks."""


def remarks(trial: TrialState) -> list[dict[str, Any]]:
    """As plain JSON: `remark` names what it is, `text` says it in words."""
    return [*guessing.remarks(trial), *latency_targets.remarks(trial)]


def closing(trials: Iterable[TrialState]) -> list[str]:
    """A line for each remark, for below a table: one for all trials that it is true of."""
    by_text: dict[str, list[int]] = {}
    for trial in trials:
        for remark in remarks(trial):
            by_text.setdefault(remark["text"], []).append(trial.index)
    return [f"{MARK} {which(indices)}: {text}" for text, indices in by_text.items()]
