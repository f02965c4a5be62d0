"""Rounds of a search: what is tried next follows from what is known, and from nothing else."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from engine.presets import spec
from engine.results.searches import CANDIDATE
from engine.search import rounds
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


def carried_out(task: Task, count: int, shuffle: random.Random | None = None) -> list[rounds.Round]:
    found: list[rounds.Round] = []
    known: dict[int, Candidate] = {}
    for number in range(count):
        mixed = list(known.values())
        if shuffle:
            shuffle.shuffle(mixed)
        next_ = rounds.search(task, sorted(mixed, key=lambda one: one.number), number)
        assert next_ is not None
        found.append(next_)
        for entry in next_.entries:
            assert entry.point is not None and entry.candidate is not None
            one = known.setdefault(entry.candidate, Candidate(entry.candidate, entry.point))
            one.outcomes[entry.rung] = computed(entry.point, entry.rung)
    return found


def test_the_same_outcomes_give_the_same_rounds(task: Task) -> None:
    first = carried_out(task, 5)
    assert carried_out(task, 5) == first
    assert carried_out(task, 3) == first[:3]  # a larger budget goes on


def test_rounds_are_full_and_nothing_is_tried_twice(task: Task) -> None:
    entries = [entry for one in carried_out(task, 8) for entry in one.entries]
    assert len(entries) == 8 * 4
    assert len({(entry.candidate, entry.rung) for entry in entries}) == len(entries)
    new = [str(entry.point) for entry in entries if entry.rung == 0]
    assert len(set(new)) == len(new)
    assert all(entry.role == CANDIDATE for entry in entries)


def test_half_of_a_rung_goes_on(task: Task) -> None:
    entries = [entry for one in carried_out(task, 8) for entry in one.entries]
    at = [sum(entry.rung == rung for entry in entries) for rung in range(3)]
    assert at[0] > at[1] > at[2] > 0
    assert at[1] <= at[0] / 2 and at[2] <= at[1] / 2


def test_a_search_that_knows_more_proposes_better(task: Task) -> None:
    """Late candidates are nearer to the best of the world above than early ones."""
    new = [e.point for one in carried_out(task, 12) for e in one.entries if e.rung == 0 and e.point]
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
    assert any(entry.rung == 0 for entry in following.entries)
    confirmed = rounds.confirm(forbidding, known, 1)
    assert confirmed is not None
    assert all(not quantized(entry.point) for entry in confirmed.entries if entry.point is not None)


def test_a_pinned_technique_is_in_every_new_candidate(task: Task) -> None:
    following = rounds.search(replace(task, held={"quantize.weights": True}), known_after(task, 2), 2)
    assert following is not None
    assert all(entry.point and quantized(entry.point) for entry in following.entries)
    bits = {entry.point["quantize.weights.bits"] for entry in following.entries if entry.point}
    assert len(bits) > 1, "what it does is still searched for"


def test_who_can_become_no_finalist_is_not_trained_on(task: Task) -> None:
    for count in (4, 8, 12):
        known = known_after(task, count)
        ended = {one.number: last for one in known if (last := one.last) is not None}
        sizes = sorted(task.amount(last) for last in ended.values() if last.loss <= task.allowed)
        assert len(sizes) > task.search.finalists
        following = rounds.search(task, known, count)
        assert following is not None
        for entry in following.entries:
            if entry.rung and entry.candidate is not None:
                assert task.amount(ended[entry.candidate]) <= sizes[task.search.finalists - 1]


def known_after(task: Task, count: int) -> list[Candidate]:
    """What is known after so many rounds."""
    known: dict[int, Candidate] = {}
    for round_ in carried_out(task, count):
        for entry in round_.entries:
            assert entry.candidate is not None and entry.point is not None
            one = known.setdefault(entry.candidate, Candidate(entry.candidate, entry.point))
            one.outcomes[entry.rung] = computed(entry.point, entry.rung)
    return list(known.values())


def quantized(point: Mapping[str, object]) -> bool:
    return point.get("quantize.weights.enabled") is not False
