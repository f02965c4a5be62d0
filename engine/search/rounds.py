"""The next round of a search: a pure function of what is asked and of the rounds before.

Asynchronous successive halving (Li et al. 2020) decides whenever a trial ends, and so by chance. Here all of a round is
known before any of it is computed, and the next one follows from its outcomes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from engine.results.searches import CANDIDATE, FINALIST, UNCOMPRESSED
from engine.search.history import Candidate
from engine.search.proposals import Table
from engine.search.ranking import Ranking
from engine.search.sampler import propose
from engine.search.siblings import begun
from engine.search.task import Task

KEPT = 2
"""One of so many on a rung goes on to the next."""
LUCK = 1.0
"""Standard errors of its loss by which a candidate may miss a limit and still go on."""


@dataclass(frozen=True)
class Entry:
    """A trial to be: a candidate on a rung, for a role and a seed. `point` None: nothing compresses."""

    candidate: int | None
    rung: int
    point: dict[str, Any] | None
    role: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "Entry":
        return cls(told["candidate"], told["rung"], told["point"], told["role"], told["seed"])


@dataclass(frozen=True)
class Round:
    """Trials that are planned together; `held` are the techniques that were pinned (True) or forbidden for it, `room`
    is how many trials it might have had."""

    purpose: Literal["search", "confirm"]
    entries: tuple[Entry, ...]
    held: Mapping[str, bool] = field(default_factory=dict)
    room: int = 0


def search(task: Task, known: Sequence[Candidate], number: int, tables: Sequence[Table] = ()) -> Round | None:
    """The round with this number: who goes on, then new candidates; None where nothing is left to try.

    `tables` are what the baseline's sensitivity steps measured.
    """
    rank, size = Ranking.of(task, known), task.batch
    entries = promotions(task, known, rank)[:size]
    points = propose(task, known, rank, number, size - len(entries), tables)
    first = len(known)
    entries += [
        Entry(first + at, begun(task, known, point), point, CANDIDATE, task.seed)
        for at, point in enumerate(points)
    ]
    return Round("search", tuple(entries), task.held, size) if entries else None


def promotions(task: Task, known: Sequence[Candidate], rank: Ranking) -> list[Entry]:
    """Those that go on by one rung, from the higher rungs first: of each the better half that has not gone on yet.

    What misses a limit by no more than it may owe to luck goes on as well: whether it is within, more training tells.
    Training makes no model smaller: a candidate with more of the goal than the best `finalists` of those within the
    limits does not go on, however well it might learn.
    """
    found: list[Entry] = []
    bound = rank.bound(known, task.search.finalists)
    wanted = [one for one in known if task.allows(one.point)]
    for rung in reversed(range(len(task.space.rungs) - 1)):
        there = [(one, outcome) for one in wanted if (outcome := one.outcomes.get(rung)) is not None]
        there.sort(key=lambda pair: (rank.key(pair[1], rung, LUCK), pair[0].number))
        found += [
            Entry(one.number, rung + 1, dict(one.point), CANDIDATE, task.seed)
            for one, outcome in there[: len(there) // KEPT]
            if rung + 1 not in one.outcomes and task.amount(outcome) <= bound
        ]
    return found


def confirm(task: Task, known: Sequence[Candidate], seeds: int, chosen: int | None = None) -> Round | None:
    """The finalists, and the uncompressed network with the same extra training, on so many seeds; None without any.

    A wish that comes when nothing new is tried may leave no candidate that is as wished: then all count.
    `chosen` is the candidate that was the answer before the budget was made larger. It is a finalist again, at no cost
    on the seeds that it was trained on: what is found later has to beat it, not only those that are looked at later.
    """
    ranked = Ranking.of(task, known).best(known)
    wished = [one for one in ranked if task.allows(one.point)] or ranked
    best = wished[: task.search.finalists]
    if not best:
        return None
    best += [one for one in wished[task.search.finalists :] if one.number == chosen]
    top = len(task.space.rungs) - 1
    each = range(task.seed, task.seed + seeds)
    entries = [Entry(one.number, top, dict(one.point), FINALIST, seed) for one in best for seed in each]
    entries += [Entry(None, top, None, UNCOMPRESSED, seed) for seed in each]
    return Round("confirm", tuple(entries), task.held)
