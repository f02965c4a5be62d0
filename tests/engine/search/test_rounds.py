"""Rounds of a search: what is tried next follows from what is known, and from nothing else."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from engine.presets import spec
from engine.results.searches import CANDIDATE
from engine.search import dominance, rounds, sampler, siblings
from engine.search.choice import margin
from engine.search.history import Candidate
from engine.search.ranking import Ranking
from engine.search.task import Outcome, Task

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
search:
  smallest: size.packed
  within: {accuracy: -2 points}
  budget: {trials: 64}
  batch: 4
  over:
    - prune.weights: {sparsity: 0.1..0.95}
    - finetune: {epochs: 1..4}
    - quantize.weights: {bits: 2..8, enabled: [true, false]}
"""


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.of(spec.parse(PRESET, "p"))


def computed(point: dict[str, float], rung: int) -> Outcome | None:
    """A world in which small models are worse, and training helps."""
    bits = point.get("quantize.weights.bits", 32)
    size = 100_000 * (1 - point["prune.weights.sparsity"]) * bits / 32
    quality = 0.99 - 0.4 * point["prune.weights.sparsity"] ** 8 - 0.5 * 2.0**-bits + 0.005 * (rung - 2)
    if point["prune.weights.sparsity"] > 0.93:
        return None  # some trials fail
    return Outcome(0, quality, 0.99 - quality, {"size.packed": (size, 100_000.0)})


def followed(task: Task, count: int) -> Iterator[tuple[rounds.Round, list[Candidate]]]:
    """So many rounds, each with what was known before it."""
    known: dict[int, Candidate] = {}
    for number in range(count):
        before = [known[one] for one in sorted(known)]
        next_ = rounds.search(task, before, number)
        assert next_ is not None
        yield next_, before
        for entry in next_.entries:
            assert entry.point is not None and entry.candidate is not None
            one = known.setdefault(entry.candidate, Candidate(entry.candidate, entry.point))
            one.outcomes[entry.rung] = computed(entry.point, entry.rung)


def carried_out(task: Task, count: int) -> list[rounds.Round]:
    return [round_ for round_, _ in followed(task, count)]


def test_the_same_outcomes_give_the_same_rounds(task: Task) -> None:
    first = carried_out(task, 5)
    assert carried_out(task, 5) == first
    assert carried_out(task, 3) == first[:3]  # a larger budget goes on


def test_a_round_is_planned_again_as_it_was_though_the_budget_has_grown(task: Task) -> None:
    budget = task.search.budget
    small = replace(
        task, search=task.search.model_copy(update={"budget": budget.model_copy(update={"trials": 2})})
    )
    (first,) = carried_out(small, 1)
    assert (len(first.entries), first.room) == (2, 2)
    assert carried_out(replace(task, room=first.room), 1) == [first]


def test_rounds_are_full_and_nothing_is_tried_twice(task: Task) -> None:
    entries = [entry for one in carried_out(task, 8) for entry in one.entries]
    assert len(entries) == 8 * 4
    assert len({(entry.candidate, entry.rung) for entry in entries}) == len(entries)
    new = {entry.candidate: str(entry.point) for entry in entries}
    assert len(set(new.values())) == len(new)
    assert all(entry.role == CANDIDATE for entry in entries)


def test_who_goes_on_is_of_the_better_half_of_its_rung_then(task: Task) -> None:
    at = [0, 0, 0]
    for round_, known in followed(task, 8):
        rank = Ranking.of(task, known)
        for entry in round_.entries:
            at[entry.rung] += 1
            if entry.candidate in {one.number for one in known}:
                rung = entry.rung - 1
                there = {one.number: last for one in known if (last := one.outcomes.get(rung)) is not None}
                better = sorted(there, key=lambda n: (rank.key(there[n], rung), n))[: len(there) // 2]
                assert entry.candidate in better
    assert at[0] > at[1] > at[2] > 0


def test_other_bits_of_what_is_trained_begin_where_it_is(task: Task) -> None:
    """They share all trainings in the store; half of the room for new candidates at most."""
    shared = 0
    for round_, known in followed(task, 12):
        new = [entry for entry in round_.entries if entry.candidate not in {one.number for one in known}]
        for entry in new:
            assert entry.point is not None
            trained = task.space.trainings(entry.point)
            alike = [one.rung for one in known if task.space.trainings(one.point) == trained]
            assert entry.rung == max(alike, default=0)
            shared += bool(alike)
        assert sum(bool(entry.rung) for entry in new) <= (len(new) + 1) // 2
    assert shared > 4


@pytest.mark.parametrize(
    ("loss", "size", "goal", "bits"),
    [
        (0.01, 20.0, "smallest: size.packed", [3]),
        (0.05, 20.0, "smallest: size.packed", [5, None]),
        (0.01, 20.0, "most_accurate: true", [5, None]),
        (0.01, 80_000.0, "most_accurate: true", [3]),
        (0.01, 20.0, "fastest: {runtime: onnxruntime}", []),
    ],
    ids=["within", "loses too much", "smaller than it must be", "too large", "as fast with other bits"],
)
def test_the_best_are_asked_for_the_value_beside(
    loss: float, size: float, goal: str, bits: list[int]
) -> None:
    limits = "{accuracy: -2 points, size.packed: 50 kB}"
    text = PRESET.replace("smallest: size.packed", goal).replace("{accuracy: -2 points}", limits)
    task = Task.of(spec.parse(text, "p"))
    amounts = dict.fromkeys(task.names, (size, 100000.0))
    point = {"prune.weights.sparsity": 0.5, "quantize.weights.bits": 4, "quantize.weights.enabled": True}
    known = [Candidate(0, point, {2: Outcome(0, 0.99 - loss, loss, amounts)})]
    found = [*siblings.siblings(task, known, Ranking.of(task, known))]
    assert [task.space.canonical(one) for one in found] == [
        task.space.canonical(
            point | {"quantize.weights.bits": one or 4, "quantize.weights.enabled": one is not None}
        )
        for one in bits
    ]


def test_a_step_that_was_off_is_tried_on_what_was_trained_without_it(task: Task) -> None:
    point = {"prune.weights.sparsity": 0.5, "quantize.weights.enabled": False}
    known = [Candidate(0, point, {2: Outcome(0, 0.98, 0.01, {"size.packed": (20.0, 100_000.0)})})]
    (found,) = siblings.siblings(task, known, Ranking.of(task, known))
    assert found == point | {"quantize.weights.enabled": True, "quantize.weights.bits": 4}
    assert siblings.begun(task, known, task.space.canonical(found)) == 2


def test_what_may_miss_a_limit_by_bad_luck_alone_goes_on(task: Task) -> None:
    def of(loss: float, size: float, error: float) -> Outcome:
        return Outcome(0, 0.98 - loss, loss, {"size.packed": (size, 100_000.0)}, error)

    for error, first in ((0.015, 0), (0.0, 1)):
        known = [
            Candidate(number, {}, {0: of(loss, size, error)})
            for number, (loss, size) in enumerate(((0.05, 10.0), (0.01, 20.0)))
        ]
        entries = rounds.promotions(task, known, Ranking.of(task, known))
        assert [entry.candidate for entry in entries] == [first]


def test_what_is_milder_than_one_that_is_too_large_is_not_tried(task: Task) -> None:
    """Behind the first rounds every new candidate may still be the smallest."""
    for round_, known in followed(task, 12):
        bound = Ranking.of(task, known).bound(known, task.search.finalists)
        for entry in round_.entries:
            if entry.candidate == len(known) and entry.point is not None:
                harsher = [one.point for one in known if dominance.milder(task.space, entry.point, one.point)]
                sizes = [o.amounts["size.packed"][0] for p in harsher if (o := computed(dict(p), 0))]
                assert all(size <= dominance.SLACK * bound for size in sizes)


def test_new_candidates_are_not_next_to_known_ones_while_there_is_room(task: Task) -> None:
    """Two such are often one network, because channels and zeros are whole numbers."""
    points = [
        *{e.candidate: e.point for one in carried_out(task, 8) for e in one.entries if e.point}.values()
    ]
    (sparsity,) = (one for one in task.space.dimensions if one.path == "prune.weights.sparsity")
    alike = [
        (one, other)
        for one, other in itertools.combinations(points[4:], 2)
        if {**one, sparsity.path: 0} == {**other, sparsity.path: 0}
        and abs(sparsity.share(one[sparsity.path]) - sparsity.share(other[sparsity.path])) < sampler.NEAR
    ]
    assert not alike


@pytest.mark.parametrize(
    ("point", "other", "switches", "milder"),
    [
        ((0.5, 8), (0.6, 8), True, True),
        ((0.5, 8), (0.5, 4), True, True),
        ((0.5, None), (0.5, 4), True, True),
        ((0.5, None), (0.5, 4), False, False),  # a file of fewer bits is not surely faster
        ((0.6, 8), (0.5, 4), True, False),
        ((0.5, 4), (0.5, None), True, False),
        ((0.5, None), (0.5, None), False, True),
    ],
)
def test_milder_is_no_harsher_in_any_technique(
    task: Task, point: tuple[float, int | None], other: tuple[float, int | None], switches: bool, milder: bool
) -> None:
    first, second = (
        task.space.canonical(
            {
                "prune.weights.sparsity": s,
                "quantize.weights.bits": b,
                "quantize.weights.enabled": b is not None,
            }
        )
        for s, b in (point, other)
    )
    assert dominance.milder(task.space, first, second, switches=switches) is milder


def test_a_search_that_knows_more_proposes_better(task: Task) -> None:
    """Late candidates are nearer to the best of the world above than early ones."""
    new = [*{e.candidate: e.point for one in carried_out(task, 12) for e in one.entries if e.point}.values()]
    sizes = [
        outcome.amounts["size.packed"][0] if (outcome := computed(p, 2)) and outcome.loss < 0.02 else 1e6
        for p in new
    ]
    assert min(sizes[8:]) <= min(sizes[:8])


def test_a_small_space_is_exhausted_and_the_search_ends() -> None:
    text = (
        PRESET.replace("0.1..0.95", "[0.5, 0.6]")
        .replace("epochs: 1..4", "epochs: 1")
        .replace("bits: 2..8, ", "")
    )
    small = Task.of(spec.parse(text, "p"))
    known: list[Candidate] = []
    points = 0
    for number in range(5):
        found = rounds.search(small, known, number)
        if found is None:
            break
        for entry in found.entries:
            points += 1
            known.append(Candidate(len(known), entry.point or {}, {0: computed(entry.point or {}, 0)}))
    assert points == 4


def test_a_short_training_is_given_what_longer_ones_have_gained(task: Task) -> None:
    before, after = (
        Outcome(0, quality, 0.99 - quality, {"size.packed": (1.0, 2.0)}) for quality in (0.90, 0.96)
    )
    rank = Ranking.of(task, [Candidate(0, {}, {0: before, 2: after})])
    assert rank.gains == pytest.approx((0.06, 0.01, 0.0))
    assert rank.excess(before, 0) == pytest.approx(1.0)  # loses 9, gains 6, may lose 2


def test_the_margin_grows_with_the_candidates_and_falls_with_the_images() -> None:
    few, many = margin(0.97, 5000, 2), margin(0.97, 5000, 200)
    assert few is not None and many is not None and few < many
    assert margin(0.97, 500, 2) == pytest.approx(few * 10**0.5)
    assert margin(None, 5000, 2) is None


def test_a_forbidden_technique_is_not_proposed_trained_on_or_confirmed_any_more(task: Task) -> None:
    known = known_after(task, 3)
    forbidding = replace(task, held={"quantize.weights": False})
    following = rounds.search(forbidding, known, 3)
    assert following is not None and following.held == {"quantize.weights": False}
    assert all(entry.point and not quantized(entry.point) for entry in following.entries)
    assert any(entry.candidate == len(known) for entry in following.entries)
    confirmed = rounds.confirm(forbidding, known, 1)
    assert confirmed is not None
    assert all(not quantized(entry.point) for entry in confirmed.entries if entry.point is not None)


def test_where_no_candidate_is_as_wished_all_may_be_finalists(task: Task) -> None:
    quantized_ones = [one for one in known_after(task, 3) if quantized(one.point)]
    confirmed = rounds.confirm(replace(task, held={"quantize.weights": False}), quantized_ones, 1)
    assert confirmed is not None
    free = rounds.confirm(task, quantized_ones, 1)
    assert free is not None and confirmed.entries == free.entries
    assert confirmed.held == {"quantize.weights": False}


def test_the_answer_before_a_larger_budget_is_a_finalist_again_unless_forbidden(task: Task) -> None:
    known = known_after(task, 3)
    best = rounds.confirm(task, known, 2)
    assert best is not None
    finalists = {entry.candidate for entry in best.entries}
    answer = next(one for one in known if one.number not in finalists and not quantized(one.point))
    again = rounds.confirm(task, known, 2, answer.number)
    assert again is not None
    assert [e.seed for e in again.entries if e.candidate == answer.number] == [task.seed, task.seed + 1]
    assert {entry.candidate for entry in again.entries} == finalists | {answer.number}
    pinned = rounds.confirm(replace(task, held={"quantize.weights": True}), known, 2, answer.number)
    assert pinned is not None and all(e.candidate != answer.number for e in pinned.entries)
    assert rounds.confirm(task, known, 2, next(iter(finalists - {None}))) == best


def test_a_pinned_technique_is_in_every_new_candidate(task: Task) -> None:
    following = rounds.search(replace(task, held={"quantize.weights": True}), known_after(task, 2), 2)
    assert following is not None
    assert all(entry.point and quantized(entry.point) for entry in following.entries)
    bits = {entry.point["quantize.weights.bits"] for entry in following.entries if entry.point}
    assert len(bits) > 1, "what it does is still searched for"


@pytest.mark.parametrize("pinned", [True, False])
def test_what_was_trained_otherwise_than_is_wished_by_now_has_no_siblings(pinned: bool) -> None:
    """No other bits share its trainings any more; of a step that did not run, nothing says how far it would go."""
    switched = PRESET.replace("{sparsity: 0.1..0.95}", "{sparsity: 0.1..0.95, enabled: [true, false]}")
    task = Task.of(spec.parse(switched, "p"))
    bits = {"quantize.weights.bits": 4, "quantize.weights.enabled": True}
    without = {"prune.weights.enabled": False, **bits}
    pruned = {"prune.weights.enabled": True, "prune.weights.sparsity": 0.5, **bits}
    outcome = Outcome(0, 0.98, 0.01, {"size.packed": (20.0, 100_000.0)})
    known = [Candidate(number, point, {2: outcome}) for number, point in enumerate((without, pruned))]
    wished = replace(task, held={"prune.weights": pinned})
    found = [*siblings.siblings(wished, known, Ranking.of(wished, known))]
    assert found and all(point["prune.weights.enabled"] is pinned for point in found)
    following = rounds.search(wished, known, 1)
    assert following is not None and len(following.entries) == task.batch
    assert all(entry.point and entry.point["prune.weights.enabled"] is pinned for entry in following.entries)


def test_who_can_become_no_finalist_is_not_trained_on(task: Task) -> None:
    for count in (4, 8, 12):
        known = known_after(task, count)
        ended = {one.number: last for one in known if (last := one.last) is not None}
        sizes = sorted(task.amount(last) for last in ended.values() if last.loss <= task.allowed)
        assert len(sizes) > task.search.finalists
        following = rounds.search(task, known, count)
        assert following is not None
        for entry in following.entries:
            if entry.candidate in ended:
                assert task.amount(ended[entry.candidate]) <= sizes[task.search.finalists - 1]


def known_after(task: Task, count: int) -> list[Candidate]:
    """What is known after so many rounds."""
    _, known = next(itertools.islice(followed(task, count + 1), count, None))
    return known


def quantized(point: Mapping[str, object]) -> bool:
    return point.get("quantize.weights.enabled") is not False
