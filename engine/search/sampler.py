"""Points that nobody has tried, from Optuna's sampler: a function of the seed and of what is known, of nothing else.

The sampler is made anew for each round and told everything again, so that no state of it has to be kept beside the
study's events. Optuna is imported here alone, and only when a search proposes: it takes most of a second.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.presets.space import Dimension
from engine.search import first
from engine.search.history import Candidate
from engine.search.proposals import Table
from engine.search.ranking import Ranking
from engine.search.task import Task

if TYPE_CHECKING:
    import optuna

FIRST = (0.35, 0.65, 0.15, 0.85)
"""How far along every dimension the first candidates are: the mild ones most likely give a first model to take."""
STARTUP = 8
"""Candidates before proposals depend on what they came to."""
TRIES = 40
"""Proposals that are drawn for one new point; a space where so many were known is exhausted."""
FAILED = 1000.0
"""Points over its limits that a candidate counts as which failed."""


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
    seen = {_identity(one.point) for one in known}
    found: list[dict[str, Any]] = []
    for point in first.points(task, tables) if round_ == 0 else ():
        _take(task, point, seen, found, count)
    for share in FIRST if round_ == 0 else ():
        _take(task, {one.path: one.between(share) for one in task.space.dimensions}, seen, found, count)
    if len(found) < count:
        study = _study(task, known, rank, round_)
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            _take(task, _ask(study, task), seen, found, count)
    return found


def _take(task: Task, point: dict[str, Any], seen: set[str], found: list[dict[str, Any]], count: int) -> None:
    point = task.switched(point)
    canonical = task.space.canonical(point)
    new = len(found) < count and _identity(canonical) not in seen
    if new and any(task.space.enabled(point)) and task.allows(point):
        seen.add(_identity(canonical))
        found.append(canonical)


def _identity(point: Any) -> str:
    return json.dumps(dict(point), sort_keys=True)


def _study(task: Task, known: Sequence[Candidate], rank: Ranking, round_: int) -> "optuna.Study":
    """Optuna's view of what is known; its own storage is memory, and forgotten."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int.from_bytes(hashlib.sha256(f"{task.seed} {round_}".encode()).digest()[:4], "big")
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
