"""Which of a study's models to take: the smallest that loses little enough. Lists, charts and export all ask here."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.measures.table import QUALITIES, measure, measure_text
from engine.params.preset import Pick as Rule
from engine.results import latency_targets
from engine.results.summary import PACKED, baseline_value, measure_value, quality_name
from engine.studies.state import StudyState, TrialState
from engine.text.numbers import MISSING, number, percent, ratio

if TYPE_CHECKING:
    from engine.studies.settings import StudySettings

PICK = "pick"
"""What commands call it where a trial's number may stand."""
STANDARD = Rule.model_construct()
"""The defaults; not validated, because pydantic would load its plugins for that before the lab's first frame."""
MARK = "*"
"""Before the number of the picked trial in tables; charts have a star."""
ROUNDING = 1e-9
"""Added to what may be lost: 0.9 − 0.85 is a little more than 5 points to a computer."""
NONZERO, MACS = "nonzero_parameters", "effective_macs"


@dataclass(frozen=True)
class Pick:
    """A trial and why it is the one.

    Attributes:
        trial: The trial to take.
        goal: The measure that it has least of, see `engine.results.summary.measure_value`.
        quality: Name of the measure that it is judged by, on validation.
        loss: What it loses of that against its baseline, 0 … 1; the mean over its seeds.
        allowed: What it may lose.
        seeds: Trials that differ from it in their seed alone, itself among them.
    """

    trial: TrialState
    goal: str
    quality: str
    loss: float
    allowed: float
    seeds: int = 1

    @property
    def within(self) -> bool:
        """Whether it loses at most what it may; if not, it is what comes nearest."""
        return self.loss <= self.allowed + ROUNDING

    @property
    def times(self) -> float | None:
        """How many times as much of the goal's measure its baseline has."""
        return _times(self.trial, self.goal)

    def __str__(self) -> str:
        return describe(self.trial, self.goal, self.quality)


def rule(settings: "StudySettings", within: float | None = None) -> Rule:
    """By which rule a study's model is picked: its preset's, with `within` points if given."""
    kept = settings.pick
    return kept if within is None else Rule(by=kept.by, within=within)


def pick(state: StudyState, by: Rule = STANDARD) -> Pick | None:
    """The trial of the smallest model that loses at most `by.within` points of validation accuracy (or mAP50-95).

    Small is what has least of the goal, see `goal_of`. Trials that differ in their seed alone are judged by their
    means, and the one that is best on validation stands for them. Nothing is chosen on the test split. A model that
    is no smaller than its baseline is never the pick. Where every smaller one loses more, the one that loses least
    is it (`Pick.within` is False). None while no smaller model is done.
    """
    done = [trial for trial in state.trials if trial.measure.status == "done"]
    if not done:
        return None
    quality = quality_name(state)
    goal = goal_of(state, done, by)
    allowed = by.within / 100
    smaller = [
        _judged(trials, goal, quality, allowed)
        for trials in _by_parameters(done)
        if all((_times(trial, goal) or 0.0) > 1.0 for trial in trials)
    ]
    if not smaller:
        return None
    within = [(judged, amount) for judged, amount in smaller if judged.within]
    if within:
        return min(within, key=lambda pair: (pair[1], pair[0].loss))[0]
    return min(smaller, key=lambda pair: pair[0].loss)[0]


def trials(studies: "Iterable[tuple[StudySettings, StudyState]]") -> list[TrialState]:
    """The picked trial of each study that has one."""
    return [picked.trial for settings, state in studies if (picked := pick(state, settings.pick))]


def goal_of(state: StudyState, done: Sequence[TrialState], by: Rule = STANDARD) -> str:
    """The measure that models of this study are to have least of: the rule's own, else what its sweep aims at.

    A sweep of speed-ups aims at latency or MACs, any other at bytes of the packed file, or at non-zero parameters
    where no file was measured.
    """
    if by.by:
        return by.by
    swept = {name for trial in state.trials for name in trial.parameters}
    if any(name.endswith("latency.speedup") for name in swept):
        targets = [target for trial in done for target in latency_targets.outcomes(trial)]
        names = {f"latency.{target.runtime}.{target.batch}" for target in targets}
        if measured := [name for name in sorted(names) if _all_have(done, name)]:
            return measured[0]
    if any(name.endswith(".speedup") for name in swept):
        return MACS
    return PACKED if _all_have(done, PACKED) else NONZERO


def describe(trial: TrialState, goal: str, quality: str) -> str:
    """A finished trial in a line, for whoever has to decide whether to take it.

    `trial 11: scope global, sparsity 0.8, 96.94 % (−1.39 points), 208 kB packed (4.4× smaller)`
    """
    values = [f"{name.rpartition('.')[2]} {value}" for name, value in trial.parameters.items()]
    value, before = (measure_value(of, quality) for of in (trial.results, trial.baseline_measure.measures))
    lost = f" ({_points(value - before)})" if value is not None and before is not None else ""
    kind = "" if quality == QUALITIES[0] else f"{measure(quality).label} "
    of_quality = f"{kind}{measure_text(quality, value)}{lost}"
    amount = f"{measure_text(goal, measure_value(trial.results, goal))} {_noun(goal)}".rstrip()
    times = _times(trial, goal)
    compared = f" ({ratio(times)} {_comparative(goal)})" if times is not None and times > 1 else ""
    return f"trial {trial.index}: " + ", ".join([*values, of_quality, amount + compared])


def _comparative(goal: str) -> str:
    return "faster" if goal.startswith("latency") else "smaller"


def _noun(goal: str) -> str:
    """What stands behind an amount of the goal's measure.

    >>> _noun("size.packed"), _noun("effective_macs"), _noun("latency.onnxruntime.1")
    ('packed', '', 'in onnxruntime, batch 1')
    """
    known = measure(goal)
    if goal.startswith("latency"):
        return known.label.replace("latency, ", "in ")
    return "" if known.unit == "MACs" else known.short or known.label


def verdict(picked: Pick) -> str:
    """What to take, and by which rule, as one sentence."""
    points = number(100 * picked.allowed)
    limit = f"within {points} point{'' if points == '1' else 's'} on validation"
    mean = f" (mean of {picked.seeds} seeds)" if picked.seeds > 1 else ""
    if picked.within:
        most = "fastest" if picked.goal.startswith("latency") else "smallest"
        return f"{MARK} {picked}; {most} {limit}{mean}"
    return f"no smaller model is {limit}{mean}; nearest is {picked}"


def as_json(picked: Pick | None) -> dict[str, Any]:
    """The pick for `status.json` and `--json`; empty while there is none."""
    if picked is None:
        return {}
    return {
        "index": picked.trial.index,
        picked.quality: measure_value(picked.trial.results, picked.quality),
        "goal": picked.goal,
        "value": measure_value(picked.trial.results, picked.goal),
        "times": picked.times,
        "validation_loss_of_quality": picked.loss,
        "allowed": picked.allowed,
        "within": picked.within,
        "text": str(picked),
    }


def cell(kept: dict[str, Any]) -> str:
    """The pick of `as_json` for a list of studies: `#11 96.94 % 4.4×`; one that loses too much ends in `!`."""
    shown = [(name, kept[name]) for name in QUALITIES if isinstance(kept.get(name), int | float)]
    if not shown:
        return MISSING
    name, value = shown[0]
    times = kept.get("times")
    parts = [
        f"#{kept['index']}" if "index" in kept else "",
        percent(value) if name == QUALITIES[0] else f"mAP {percent(value)}",
        ratio(times) if isinstance(times, int | float) else "",
    ]
    return " ".join(filter(None, parts)) + ("" if kept.get("within", True) else " !")


def _by_parameters(trials: Iterable[TrialState]) -> list[list[TrialState]]:
    """Trials that differ in their seed alone stand together."""
    groups: dict[tuple[tuple[str, str], ...], list[TrialState]] = {}
    for trial in trials:
        values = tuple((name, str(value)) for name, value in trial.parameters.items() if name != "seed")
        groups.setdefault(values, []).append(trial)
    return list(groups.values())


def _judged(trials: Sequence[TrialState], goal: str, quality: str, allowed: float) -> tuple[Pick, float]:
    """The pick that these trials would be, and how much of the goal's measure they have."""
    chosen = f"validation_{quality}"
    losses = [
        (trial.baseline_measure.measures.get(chosen) or 0.0) - (trial.results.get(chosen) or 0.0)
        for trial in trials
    ]
    amount = statistics.fmean(measure_value(trial.results, goal) or 0.0 for trial in trials)
    best = max(trials, key=lambda trial: trial.results.get(chosen) or 0.0)
    return Pick(best, goal, quality, statistics.fmean(losses), allowed, len(trials)), amount


def _times(trial: TrialState, goal: str) -> float | None:
    now, before = measure_value(trial.results, goal), baseline_value(trial, goal)
    return before / now if now and before else None


def _all_have(trials: Sequence[TrialState], name: str) -> bool:
    return bool(trials) and all(measure_value(trial.results, name) is not None for trial in trials)


def _points(change: float) -> str:
    return f"{100 * change:+.2f} points".replace("-", "−")
