"""The end of a search: which finalist to take, and how sure it is that it does not only seem good."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import SecateurError
from engine.measures.table import measure_text
from engine.params.preset import Pick as Rule
from engine.params.search import MOST_ACCURATE
from engine.results import pick
from engine.results.searches import FINALIST, UNCOMPRESSED, candidates
from engine.results.summary import quality_of
from engine.search.held import WORDS
from engine.search.luck import standard_error
from engine.search.task import Task
from engine.studies import events as ev
from engine.studies.state import StudyState, TrialState
from engine.text.numbers import MISSING
from engine.text.phrases import counted

CONFIDENCE = 0.95
"""How sure it is to be, over all candidates together, that a loss and its margin are not exceeded on other images."""


class NothingFound(SecateurError):
    """A search ended, and no candidate is left that could be taken."""


@dataclass(frozen=True)
class Finalist:
    """A candidate that was trained on several seeds; `margin` (0 … 1) is what its loss may owe to luck, if known.

    `found` is the pick that it would be, `amount` what it has of the goal's measure.
    """

    candidate: int
    found: pick.Pick
    amount: float
    margin: float | None
    trials: tuple[TrialState, ...]

    @property
    def sure(self) -> bool:
        """Whether it is within the limits even if it was lucky."""
        sound = self.margin is not None and self.found.loss + self.margin <= self.found.allowed
        return self.found.within and (sound or not self.is_limited)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit to what it may lose."""
        return self.found.allowed < 1.0


def margin(agreement: float | None, images: int, candidates: int) -> float | None:
    """What the best of so many candidates may owe to luck: a loss, 0 … 1.

    Its standard error, times the one-sided quantile that all candidates together keep to (Šidák 1967).

    >>> round(margin(0.96, 5000, 1), 4), round(margin(0.96, 5000, 40), 4)
    (0.0047, 0.0085)
    """
    error = standard_error(agreement, images)
    if error is None:
        return None
    return statistics.NormalDist().inv_cdf(CONFIDENCE ** (1 / max(candidates, 1))) * error


def choose(task: Task, state: StudyState, rule: Rule) -> ev.Chosen:
    """The answer, from the finalists of the last confirmation. Raises NothingFound where there is none."""
    confirmed = _last_confirmed(state)
    tried = candidates(state)
    finalists = _finalists(task, state, rule, confirmed, tried)
    # A search never ends with nothing: where none gains, what comes nearest is told as that.
    found = [one for one in finalists if one.found.gains] or finalists
    plain = [
        trial for trial in confirmed if trial.proposal["role"] == UNCOMPRESSED and trial.status == "done"
    ]
    sure = [one for one in found if one.sure]
    best = pick.best([(one.found, one.amount) for one in sure or found])
    if best is None:
        finalists_ = len({trial.proposal["candidate"] for trial in confirmed} - {None})
        those = counted(finalists_, "finalist") if finalists_ else counted(tried, "candidate")
        raise NothingFound(
            "The search found nothing to take",
            f"Of {those} none could be computed and measured to its end.",
            "`secateur resume` tries again what failed.",
        )
    winner = next(one for one in found if one.found is best)
    return ev.Chosen(
        trial=best.trial.index,
        sure=winner.sure,
        candidates=tried,
        lines=[*_lines(task, winner, found, plain, tried), *_unlike_wished(task, state, winner)],
        finalists=[_as_dict(one) for one in found],
        uncompressed=_compared(plain),
    )


def _last_confirmed(state: StudyState) -> list[TrialState]:
    last = _last_confirmation(state)
    return [state.trials[trial["index"]] for trial in last.trials] if last is not None else []


def _last_confirmation(state: StudyState) -> ev.Proposed | None:
    rounds = [one for one in state.proposed.values() if one.purpose == "confirm"]
    return max(rounds, key=lambda one: one.round, default=None)


def _unlike_wished(task: Task, state: StudyState, winner: Finalist) -> list[str]:
    """That the winner is not as wished, where no candidate was."""
    last = _last_confirmation(state)
    if last is None or replace(task, held=last.held).allows(winner.found.trial.proposal["point"]):
        return []
    wishes = ", ".join(f"{name} {WORDS[value]}" for name, value in last.held.items())
    return [f"No candidate that could be a finalist is as wished ({wishes}): all of them counted"]


def _finalists(
    task: Task, state: StudyState, rule: Rule, confirmed: Sequence[TrialState], tried: int
) -> list[Finalist]:
    mine = [trial for trial in confirmed if trial.proposal["role"] == FINALIST and trial.status == "done"]
    images = int(state.trials[0].measure.measures.get("validation_images", 0))
    found = []
    for one, amount in pick.judged(state, mine, rule, smaller=False):
        number = one.trial.proposal["candidate"]
        trials = tuple(trial for trial in mine if trial.proposal["candidate"] == number)
        agreements = [
            a for trial in trials if isinstance(a := trial.steps[-1].measures.get("agreement"), float)
        ]
        agreed = statistics.fmean(agreements) if agreements else None
        found.append(Finalist(number, one, amount, margin(agreed, images, tried), trials))
    return sorted(found, key=lambda one: one.amount)


def _as_dict(one: Finalist) -> dict[str, Any]:
    return {
        "candidate": one.candidate,
        "trials": [trial.index for trial in one.trials],
        "loss": one.found.loss,
        "margin": one.margin,
        "within": one.found.within,
        "sure": one.sure,
        "goal": one.found.goal,
        "amount": one.amount,
        "test": _tests(one.trials),
    }


def _tests(trials: Sequence[TrialState]) -> list[float]:
    return [found[1] for trial in trials if (found := quality_of(trial.results))]


def _compared(trials: Sequence[TrialState]) -> dict[str, Any]:
    """The uncompressed network with the same extra training."""
    found = [q[1] for trial in trials if (q := quality_of(trial.results, "validation_"))]
    return {
        "trials": [trial.index for trial in trials],
        "validation": statistics.fmean(found) if found else None,
        "test": _tests(trials),
    }


def _lines(
    task: Task, winner: Finalist, found: Sequence[Finalist], plain: Sequence[TrialState], tried: int
) -> list[str]:
    one = winner.found
    lines = [f"{_what(task)}: {one}"]
    if not one.gains:
        better = _better(task)
        lines = [f"No finalist is {better} than the network as it is; this one is nearest: {one}"]
    elif one.within:
        lines.append(_why(task, winner, found, tried))
    else:
        lines = [
            f"No finalist is within the limits; this one is nearest, {_loss(winner)} on validation: {one}"
        ]
    if tests := _tests(winner.trials):
        before = [q[1] for t in winner.trials if (q := quality_of(t.baseline_measure.measures))]
        lines.append(
            f"On test, scored once: {_mean(one.quality, tests)}; its baseline {_mean(one.quality, before)}"
        )
    if plain:
        lines.append(
            f"Uncompressed, with the same extra training: {_mean(one.quality, _tests(plain))} on test"
        )
    return lines


def _what(task: Task) -> str:
    if task.goal == MOST_ACCURATE:
        return "The most accurate within the limits"
    return (
        "The fastest within the limits"
        if task.goal.startswith("latency")
        else "The smallest within the limits"
    )


def _better(task: Task) -> str:
    if task.goal == MOST_ACCURATE:
        return "more accurate"
    return "faster" if task.goal.startswith("latency") else "smaller"


def _loss(one: Finalist) -> str:
    margin_ = f" ± {100 * one.margin:.2f}" if one.margin is not None else ""
    return f"{-100 * one.found.loss:+z.2f}{margin_} points".replace("-", "−")


def _why(task: Task, winner: Finalist, found: Sequence[Finalist], tried: int) -> str:
    """Why this one was taken, and how sure that is."""
    seeds = f"{len(winner.trials)} seeds" if len(winner.trials) > 1 else "one seed"
    told = f"{_loss(winner)} on validation, mean of {seeds}"
    if winner.margin is None:
        return f"{told}; how much of that is luck is not known for this task"
    if not winner.is_limited:
        return f"{told}; no limit is set on that, and ± is the luck of {_of(tried)}"
    if winner.sure:
        better = [one for one in found if one.amount < winner.amount and one.found.within]
        more = f"; {len(better)} {_better(task)} only seemed to be within" if better else ""
        return f"{told}: within the limit beyond the luck of {_of(tried)}{more}"
    return (
        f"{told}: within the limit, but not beyond the luck of {_of(tried)} on so few images; "
        "more validation images would tell"
    )


def _of(tried: int) -> str:
    return "one candidate" if tried == 1 else f"the best of {tried} candidates"


def _mean(quality: str, values: Sequence[float]) -> str:
    if not values:
        return MISSING
    if len(values) == 1:
        return measure_text(quality, values[0])
    return measure_text(quality, statistics.fmean(values), statistics.stdev(values))
