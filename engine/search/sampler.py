"""Points that nobody has tried, from Optuna's sampler: a function of the seed and of what is known, of nothing else.

The sampler is made anew for each round and told everything again, so that no state of it has to be kept beside the
study's events. Optuna is imported here alone, and only when a search proposes: it takes most of a second.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.presets.space import Dimension, Point
from engine.search import first
from engine.search.dominance import outdone
from engine.search.history import Candidate
from engine.search.proposals import Table
from engine.search.ranking import Ranking
from engine.search.siblings import siblings
from engine.search.task import Task

if TYPE_CHECKING:
    import optuna

FIRST = (0.35, 0.65, 0.15, 0.85)
"""How far along every dimension the first candidates are: the mild ones most likely give a first model to take."""
STARTUP = 8
"""Candidates before proposals depend on what they came to."""
TRIES = 40
"""Proposals that are drawn for one new point."""
NEAR = 1 / 64
"""Share of a range within which a point is next to another."""
DRAWS = 400
"""Points that are drawn at random for each one after that: where none of so many is new, the space is exhausted."""
FAILED = 1000.0
"""By how many points a candidate that failed counts as over its limits."""


def propose(
    task: Task,
    known: Sequence[Candidate],
    rank: Ranking,
    round_: int,
    count: int,
    tables: Sequence[Table] = (),
) -> list[dict[str, Any]]:
    """Up to `count` points that are not among those of `known`; fewer where the space has no more.

    `tables` are what sensitivity steps of the baseline measured: the first points are those that they predict.
    """
    wanted = _Wanted(task, known, rank, count)
    if round_ == 0:
        for point in first.points(task, tables):
            wanted.take(point, near=True)
        for share in FIRST:
            wanted.take({one.path: one.between(share) for one in task.space.dimensions})
    for point in siblings(task, known, rank):
        if 2 * len(wanted.found) >= count:  # the other half is for what nobody has trained
            break
        wanted.take(point)
    if not wanted.enough:
        seed = _seed(task, round_)
        study = _study(task, known, rank, seed)
        for _ in range(TRIES * count):
            if wanted.enough:
                break
            wanted.take(_ask(study, task))
        # Where little is left of the space, the sampler proposes what is outdone or known again and again.
        chance = random.Random(seed)
        for number in range(2 * DRAWS * count):
            if wanted.enough:
                break
            point = {one.path: one.between(chance.random()) for one in task.space.dimensions}
            wanted.take(point, near=number >= DRAWS * count)
    return wanted.found


class _Wanted:
    """New points of a round, of those that are offered: none that is known, or next to one, or outdone."""

    def __init__(self, task: Task, known: Sequence[Candidate], rank: Ranking, count: int) -> None:
        self.found: list[dict[str, Any]] = []
        self._task, self._count = task, count
        self._seen = [one.point for one in known]
        self._outdone = outdone(task, known, rank)
        self._fractions = {one.path: one for one in task.space.dimensions if not one.values and not one.whole}

    @property
    def enough(self) -> bool:
        return len(self.found) >= self._count

    def take(self, point: dict[str, Any], *, near: bool = False) -> None:
        """Take a point if it is wanted; `near`: one next to a known one too."""
        possible, space = self._task.possible(point), self._task.space
        if self.enough or possible is None:
            return
        canonical = space.canonical(possible)
        if not any(space.enabled(possible)) or not self._task.allows(possible):
            return
        within = 0.0 if near else NEAR
        if not any(
            _alike(self._fractions, canonical, one, within) for one in self._seen
        ) and not self._outdone(canonical):
            self._seen.append(canonical)
            self.found.append(canonical)


def _alike(fractions: Mapping[str, Dimension], point: Point, other: Point, within: float) -> bool:
    """Whether two points differ by no more than this share of a range in each of the `fractions`, and in nothing else:
    numbers of channels and of zeros are whole, so that such two are often one network."""
    if point.keys() != other.keys():
        return False
    return all(
        abs(fractions[path].share(value) - fractions[path].share(other[path])) <= within
        if path in fractions
        else value == other[path]
        for path, value in point.items()
    )


def _seed(task: Task, round_: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{task.seed} {round_}".encode()).digest()[:4], "big")


def _study(task: Task, known: Sequence[Candidate], rank: Ranking, seed: int) -> "optuna.Study":
    """Optuna's view of what is known; its own storage is memory, and forgotten."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    dimensions = {one.path: one for one in task.space.dimensions}
    distributions = {path: _distribution(one) for path, one in dimensions.items()}
    for one in known:
        last = one.last
        params = {
            path: _told(dimensions[path], value) for path, value in one.point.items() if path in dimensions
        }
        value = _scale(task.amount(last)) if last is not None else 0.0
        excess = rank.excess(last, one.rung) if last is not None else FAILED
        study.add_trial(
            optuna.trial.create_trial(
                value=value,
                params=params,
                distributions={path: distributions[path] for path in params},
                constraints={"excess": excess},
            )
        )
    return study


def _scale(amount: float) -> float:
    """Amounts count by their ratio; a quality, which is negative here, as it is."""
    return math.log(amount) if amount > 0 else amount


def _distribution(one: Dimension) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions as of

    if one.values and one.ordered:
        return of.IntDistribution(0, len(one.values) - 1)
    if one.values:
        return of.CategoricalDistribution(tuple(range(len(one.values))))
    if one.whole:
        return of.IntDistribution(int(one.low), int(one.high), log=one.log)
    return of.FloatDistribution(one.low, one.high, log=one.log)


def _told(one: Dimension, value: Any) -> Any:
    """A value as Optuna has it: of several, which it is."""
    return one.values.index(value) if one.values else value


def _ask(study: "optuna.Study", task: Task) -> dict[str, Any]:
    """A point; of a step that is off only the switch is asked for, since nothing else of it is known."""
    trial = study.ask()
    point: dict[str, Any] = {}
    held = {step: task.held[name] for step, name in enumerate(task.space.names) if name in task.held}
    off = {step for step, on in held.items() if not on}
    for one in sorted(task.space.dimensions, key=lambda d: not d.switch):
        if one.step in off:
            point[one.path] = one.between(0.5)
            continue
        value = held[one.step] if one.switch and one.step in held else _drawn(trial, one)
        point[one.path] = value
        if one.switch and value is False:
            off.add(one.step)
    return point


def _drawn(trial: "optuna.Trial", one: Dimension) -> Any:
    if one.values and one.ordered:
        return one.values[trial.suggest_int(one.path, 0, len(one.values) - 1)]
    if one.values:
        return one.values[trial.suggest_categorical(one.path, tuple(range(len(one.values))))]
    if one.whole:
        return trial.suggest_int(one.path, int(one.low), int(one.high), log=one.log)
    return one.rounded(trial.suggest_float(one.path, one.low, one.high, log=one.log))
