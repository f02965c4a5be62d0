"""Which of a study's models to take: the smallest that loses little enough. Lists, charts and export all ask here."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.measures.table import QUALITIES, measure, measure_text
from engine.params.preset import Pick as Rule
from engine.params.search import MOST_ACCURATE
from engine.presets import limits
from engine.results import guessing, latency_targets, searches
from engine.results.summary import PACKED, baseline_value, but_seed, in_words, measure_value, quality_name
from engine.studies.state import StudyState, TrialState
from engine.text.numbers import points_of, ratio

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
        alike: The trials that differ from it in their seed alone, itself among them.
        over: How many times its limit it has of the measure that it has most too much of; 1 or less within all.
        gains: Whether it has less of the goal than its baseline; if not, it is merely what a search came nearest with.
    """

    trial: TrialState
    goal: str
    quality: str
    loss: float
    allowed: float
    alike: tuple[TrialState, ...] = ()
    over: float = 0.0
    gains: bool = True

    @property
    def seeds(self) -> int:
        """How many seeds it is judged by."""
        return max(len(self.alike), 1)

    @property
    def spread(self) -> tuple[float, float] | None:
        """Mean and deviation of the quality on the test split over several seeds, where all have it."""
        values = [measure_value(trial.results, self.quality) for trial in self.alike]
        known = [value for value in values if value is not None]
        if len(known) < 2 or len(known) < len(values):
            return None
        return statistics.fmean(known), statistics.stdev(known)

    @property
    def within(self) -> bool:
        """Whether it loses at most what it may, and has no more than it may; if not, it is what comes nearest."""
        return self.gains and self.harmless and self.over <= 1.0

    @property
    def harmless(self) -> bool:
        """Whether it loses at most what it may, however large it is."""
        return self.allows(self.loss)

    def allows(self, loss: float) -> bool:
        """Whether a model that loses so much loses at most what it may."""
        return loss <= self.allowed + ROUNDING

    @property
    def times(self) -> float | None:
        """How many times as much of the goal's measure its baseline has."""
        return _times(self.trial, self.goal)

    def __str__(self) -> str:
        return self.told()

    def told(self, parameters: int | None = None) -> str:
        """The trial in a line; with no more than its first so many `parameters`."""
        spread = self.spread
        beside = f"{measure_text(self.quality, *spread)} over {self.seeds} seeds" if spread else ""
        return describe(self.trial, self.goal, self.quality, beside, parameters)


Asked = float | tuple[limits.Limit, ...] | None
"""What somebody asks for in place of what a study's preset says: points that its pick may lose, or, of a search, all
limits; None: as the preset says."""


def asked_for(state: StudyState, settings: "StudySettings | None", asked: Asked = None) -> Pick | None:
    """The pick of a study by what its preset says, with what is `asked` for; by the standard without its settings."""
    if settings is None:
        return pick(state)
    if isinstance(asked, tuple):
        return within_limits(state, settings.pick, asked)
    return pick(state, rule(settings, asked))


def rule(settings: "StudySettings", asked: Asked = None) -> Rule:
    """By which rule a study's model is picked: its preset's, with what is `asked` for."""
    kept = settings.pick
    if isinstance(asked, tuple):
        return moved(kept, asked)
    return kept if asked is None else kept.model_copy(update={"within": asked})


def within_limits(state: StudyState, by: Rule, to: Sequence[limits.Limit]) -> Pick | None:
    """The pick with these limits in place of the rule's own. Where they are others, a search's own choice, which was
    made by the rule's, does not count."""
    by_these = moved(by, to)
    return pick(state, by_these, by_choice=by_these is by)


def moved(by: Rule, to: Sequence[limits.Limit]) -> Rule:
    """The rule with these limits in place of its own; itself where these are its own."""
    lost = limits.loss(to)
    bounds = {limit.measure: limit.written for limit in limits.amounts(to)}
    within = 100.0 if lost is None else 100 * lost
    own = {name: limits.parse(name, value).written for name, value in by.limits.items()}
    if (within, bounds) == (by.within, own):
        return by
    return by.model_copy(update={"within": within, "limits": bounds})


def pick(state: StudyState, by: Rule = STANDARD, *, by_choice: bool = True) -> Pick | None:
    """The trial of the smallest model that loses at most `by.within` points of validation accuracy (or mAP50-95).

    Of a search that is through, its own choice, which was made so among its finalists (`engine.search.choice`); if not
    `by_choice`, and until it is through, what meets the limits of all that it has tried, finalists as they ended.
    Small is what has least of the goal, see `goal_of`. Trials that differ in their seed alone are judged by their
    means, and the one that is best on validation stands for them. Nothing is chosen on the test split. A model that
    is no smaller than its baseline, or whose network only ever guessed, is never the pick, unless a search chose it.
    Where every smaller one loses more, the one that loses least is it (`Pick.within` is False). None while no such
    model is done (`without` says why).
    """
    if chosen := _chosen(state) if by_choice else []:
        return best(judged(state, chosen, by, smaller=False))
    beside = (searches.BASELINE, searches.UNCOMPRESSED) if searches.is_search(state) else ()
    tried = _informed(one for one in state.trials if searches.role(one) not in beside)
    return best(judged(state, tried, by))


def without(state: StudyState) -> str:
    """Why a study has no pick, in words."""
    done = [trial for trial in state.trials if trial.measure.status == "done"]
    if not done:
        return "no trial is done"
    return "no model is smaller than its baseline" if _informed(done) else guessing.THROUGHOUT


def _informed(among: Iterable[TrialState]) -> list[TrialState]:
    """Without those that have nothing to lose, because they never knew anything."""
    return [trial for trial in among if not guessing.throughout(trial)]


def judged(
    state: StudyState, among: Iterable[TrialState], by: Rule, *, smaller: bool = True
) -> list[tuple[Pick, float]]:
    """Every smaller model among these trials (every one, if not `smaller`), and how much of the goal's measure it has:
    what a pick chooses from."""
    done = searches.furthest(
        [trial for trial in among if trial.measure.status == "done" and _has_latency(trial, by)]
    )
    if not done:
        return []
    quality = quality_name(state)
    goal = goal_of(state, done, by)
    bounds = tuple(limits.parse(name, value) for name, value in by.limits.items())
    found = [_judged(trials, goal, quality, by.within / 100, bounds) for trials in _by_parameters(done)]
    return [(one, amount) for one, amount in found if one.gains or not smaller]


def best(found: Sequence[tuple[Pick, float]]) -> Pick | None:
    """The one to take: of those within the limits what has least of the goal, else what is nearest to them."""
    within = [(one, amount) for one, amount in found if one.within]
    if within:
        return min(within, key=lambda pair: (pair[1], pair[0].loss))[0]
    nearest = min(found, key=lambda pair: (max(pair[0].over, 1.0), pair[0].loss), default=None)
    return nearest[0] if nearest else None


def _chosen(state: StudyState) -> list[TrialState]:
    """The trials of the finalist that a search chose, as it was confirmed last; none while nothing is chosen."""
    # Searches of before told with no trial that they had found nothing.
    if state.chosen is None or state.chosen.trial is None:
        return []
    taken = state.chosen.trial
    seeds = next((one["trials"] for one in state.chosen.finalists if taken in one["trials"]), [taken])
    return [state.trials[index] for index in seeds]


def _has_latency(trial: TrialState, by: Rule) -> bool:
    """Whether the trial has been timed, where the rule is about time."""
    wanted = [name for name in (by.by or "", *by.limits) if name.startswith("latency")]
    return all(measure_value(trial.results, name) is not None for name in wanted)


def trials(studies: "Iterable[tuple[StudySettings, StudyState]]", asked: Asked = None) -> list[TrialState]:
    """The picked trial of each study that has one, by what is `asked` for."""
    return [picked.trial for settings, state in studies if (picked := asked_for(state, settings, asked))]


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


def describe(
    trial: TrialState, goal: str, quality: str, beside: str = "", parameters: int | None = None
) -> str:
    """A finished trial in a line, for whoever has to decide whether to take it; `beside` stands beside its quality, and
    of its parameters no more than the first so many are told.

    `trial 11: scope global, sparsity 0.8, 96.94 % (−1.39 points), 208 kB packed (4.4× smaller)`
    """
    values = in_words(trial.parameters)
    if parameters is not None and len(values) > parameters:
        values = [*values[:parameters], "…"]
    shown = quality if measure_value(trial.results, quality) is not None else f"validation_{quality}"
    value, before = (measure_value(of, shown) for of in (trial.results, trial.baseline_measure.measures))
    lost = _points(value - before) if value is not None and before is not None else ""
    told = "; ".join(part for part in (lost, beside) if part)
    kind = "" if shown == QUALITIES[0] else f"{measure(shown).label} "
    if goal == MOST_ACCURATE:
        goal = PACKED if measure_value(trial.results, PACKED) is not None else MACS
    of_quality = f"{kind}{measure_text(shown, value)}{f' ({told})' if told else ''}"
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


def verdict(picked: Pick, parameters: int | None = None) -> str:
    """What to take, and by which rule, as one sentence; with no more than its first so many `parameters`."""
    limit = f"within {points_of(round(100 * picked.allowed, 9))} on validation"
    if picked.goal == MOST_ACCURATE:
        limit = "within its limits"
    mean = f" (mean of {picked.seeds} seeds)" if picked.seeds > 1 else ""
    told = picked.told(parameters)
    if picked.within:
        most = "fastest" if picked.goal.startswith("latency") else "smallest"
        most = "most accurate" if picked.goal == MOST_ACCURATE else most
        return f"{MARK} {told}; {most} {limit}{mean}"
    lost = "" if picked.harmless else f", {points_of(round(100 * picked.loss, 2))} less,"
    return f"no smaller model is {limit}{mean}; nearest{lost} is {told}"


def as_json(picked: Pick | None) -> dict[str, Any]:
    """The pick for `status.json` and `--json`; empty while there is none."""
    if picked is None:
        return {}
    return {
        "index": picked.trial.index,
        picked.quality: measure_value(picked.trial.results, picked.quality),
        **({f"{picked.quality}_over_seeds": [*picked.spread]} if picked.spread else {}),
        "goal": picked.goal,
        "value": measure_value(picked.trial.results, picked.goal),
        "times": picked.times,
        "validation_loss_of_quality": picked.loss,
        "allowed": picked.allowed,
        "within": picked.within,
        "text": str(picked),
    }


def _by_parameters(trials: Iterable[TrialState]) -> list[list[TrialState]]:
    """Trials that differ in their seed alone stand together."""
    groups: dict[tuple[tuple[str, str], ...], list[TrialState]] = {}
    for trial in trials:
        groups.setdefault(_told(trial), []).append(trial)
    return list(groups.values())


def _told(trial: TrialState) -> tuple[tuple[str, str], ...]:
    """What tells a trial from others but for its seed; of a search also what it was proposed as."""
    return (*but_seed(trial), ("role", str(trial.proposal.get("role", ""))))


def _judged(
    trials: Sequence[TrialState], goal: str, quality: str, allowed: float, bounds: Sequence[limits.Limit]
) -> tuple[Pick, float]:
    """The pick that these trials would be, and how much of the goal's measure they have."""
    chosen = f"validation_{quality}"
    amount = statistics.fmean(
        -(trial.results.get(chosen) or 0.0)
        if goal == MOST_ACCURATE
        else measure_value(trial.results, goal) or 0.0
        for trial in trials
    )
    shown = max(trials, key=lambda trial: trial.results.get(chosen) or 0.0)
    over = max((_over(trial, bound) for trial in trials for bound in bounds), default=0.0)
    gains = goal == MOST_ACCURATE or all((_times(trial, goal) or 0.0) > 1.0 for trial in trials)
    return Pick(shown, goal, quality, loss(trials, quality), allowed, tuple(trials), over, gains), amount


def loss(trials: Sequence[TrialState], quality: str) -> float:
    """What trials lose on validation of the quality (0 … 1) of their baselines, on average."""
    name = f"validation_{quality}"
    return statistics.fmean(
        (trial.baseline_measure.measures.get(name) or 0.0) - (trial.results.get(name) or 0.0)
        for trial in trials
    )


def _over(trial: TrialState, limit: limits.Limit) -> float:
    """How many times as much as it may the trial has of a measure; infinitely many where that is not known."""
    value, bound = (
        measure_value(trial.results, limit.measure),
        limit.bound(baseline_value(trial, limit.measure)),
    )
    return math.inf if value is None or not bound else value / bound


def _times(trial: TrialState, goal: str) -> float | None:
    now, before = measure_value(trial.results, goal), baseline_value(trial, goal)
    return before / now if now and before else None


def _all_have(trials: Sequence[TrialState], name: str) -> bool:
    return bool(trials) and all(measure_value(trial.results, name) is not None for trial in trials)


def _points(change: float) -> str:
    return f"{100 * change:+z.2f} points".replace("-", "−")
