"""Latency targets of a trial's steps: what was asked for, what was measured, and what to say where they differ.

The step that prunes to a latency leaves what it measured among its measures (`MEASURE`). The trial's own latency
measurement comes later and looks longer; where a row of it asks the same question, that row answers.
"""

from dataclasses import asdict, dataclass
from typing import Any

from engine.measures import latency
from engine.params import STEPS
from engine.studies.state import StepState, TrialState
from engine.text.numbers import ratio

MEASURE = "latency_target"
"""Among a step's measures: `asked` and `measured` speed-up, and the `runtime`, `batch` and `threads` of both."""
TOLERATED = 0.1
"""Share of the asked speed-up that the measured one may be off, to either side, before it is remarked."""
PLACE = ("runtime", "batch", "threads")


@dataclass(frozen=True)
class Outcome:
    """A target and what was measured: how many times as fast as before; `by`: who measured, the step or the trial."""

    step: str
    asked: float
    measured: float
    runtime: str
    batch: int
    threads: int
    by: str

    @property
    def missed(self) -> bool:
        return not within(self.measured, self.asked)


def within(measured: float, asked: float, share: float = TOLERATED) -> bool:
    """Whether a speed-up is as asked, up to `share` of it.

    >>> within(1.85, 2.0), within(1.79, 2.0), within(2.3, 2.0)
    (True, False, False)
    """
    return abs(measured / asked - 1) <= share


def outcomes(trial: TrialState) -> list[Outcome]:
    """The targets of the trial's steps that are done."""
    return [_outcome(trial, step, step.measures[MEASURE]) for step in trial.steps if MEASURE in step.measures]


def _outcome(trial: TrialState, step: StepState, target: dict[str, Any]) -> Outcome:
    row = _row(trial, target)
    place = {name: target[name] for name in PLACE}
    if row is None:
        return Outcome(step.address, target["asked"], target["measured"], **place, by="step")
    return Outcome(step.address, target["asked"], row["speedup"], **place, by="trial")


def _row(trial: TrialState, target: dict[str, Any]) -> latency.Row | None:
    """The trial's own row in the target's place, if the step alone makes its model faster than its baseline."""
    compressing = [step for step in trial.steps if step.kind in STEPS and STEPS[step.kind].compresses]
    if len(compressing) > 1:
        return None
    wanted = {name: target[name] for name in PLACE} | {"precision": "fp32"}
    for row in latency.measured(trial.results):
        before = latency.of_baseline(row)
        if all(row.get(name) == before.get(name) == value for name, value in wanted.items()):
            return row
    return None


def remarks(trial: TrialState) -> list[dict[str, Any]]:
    """Targets that the trial misses, as plain JSON; `text` says it in words."""
    return [
        {"remark": "latency target missed", **asdict(one), "text": _text(one)}
        for one in outcomes(trial)
        if one.missed
    ]


def _text(one: Outcome) -> str:
    """
    >>> _text(Outcome("prune.channels", 2.0, 1.5, "onnxruntime", 1, 2, "trial"))
    'prune.channels was asked for 2.0× in onnxruntime, batch 1, 2 threads, and 1.50× was measured (-25 %)'
    """
    off = f"{one.measured / one.asked - 1:+z.0%}".replace("%", " %")
    return (
        f"{one.step} was asked for {ratio(one.asked)} in {latency.in_words(asdict(one), PLACE)}, "
        f"and {ratio(one.measured)} was measured ({off})"
    )
