"""Which units go: orders of removals, budgets, floors and rounding, with plain numbers."""

from collections.abc import Mapping

import pytest
import torch

from engine.compute.steps.channels.budget import Budget, Target, levels_from
from engine.compute.steps.channels.choose import (
    Candidate,
    Removal,
    Scope,
    at_share,
    least_of,
    left_after,
    ordered,
    removals,
    share_gone,
    step_of,
    units_gone,
    until,
    without_spare,
)
from engine.errors import SecateurError
from engine.results.tolerance import loss_curves

SCOPES: tuple[Scope, ...] = ("local", "global", "isomorphic", "cost", "sensitivity")
SIZES = {"wide": 64, "middle": 32, "narrow": 16}


def candidates(floor: float = 0.1, round_to: int = 1, per_unit: int = 1) -> list[Candidate]:
    random = torch.Generator().manual_seed(0)
    step = step_of(per_unit, round_to)
    return [
        Candidate(
            name, n, n, per_unit, "alike" if n < 64 else "other", least_of(n, floor, step), step,
            torch.rand(n, generator=random, dtype=torch.float64),
        )
        for name, n in SIZES.items()
    ]  # fmt: skip


def cost(left: Mapping[str, int]) -> float:
    """A chain of three layers, each multiplied with the next."""
    full = SIZES | dict(left)
    return 3.0 * full["wide"] + full["wide"] * full["middle"] + full["middle"] * full["narrow"]


def order_of(found: list[Candidate], scope: Scope) -> list[Removal]:
    rows = [
        {"layer": name, "rate": rate, "loss_increase": rate * weight}
        for name, weight in zip(SIZES, (1.0, 2.0, 4.0), strict=True)
        for rate in (0.25, 0.5, 0.75)
    ]
    return ordered(found, scope, cost=cost, levels=levels_from(loss_curves(rows)))


def shares(found: list[Candidate], order: list[Removal], taken: int) -> dict[str, float]:
    left = left_after(found, order, taken)
    return {name: 1 - left[name] / n for name, n in SIZES.items()}


def test_local_takes_the_same_share_of_every_layer() -> None:
    found = candidates()
    order = order_of(found, "local")
    assert shares(found, order, at_share(order, 0.5)) == {"wide": 0.5, "middle": 0.5, "narrow": 0.5}


def test_global_removes_the_least_important_of_all() -> None:
    found = candidates(floor=0.0)
    order = order_of(found, "global")
    gone = units_gone(order[: at_share(order, 0.25)])
    values = torch.cat([c.importance for c in found])
    threshold = values.kthvalue(28).values
    for c in found:
        assert set(gone[c.name].tolist()) == set((c.importance <= threshold).nonzero().flatten().tolist())


def test_isomorphic_takes_its_share_of_each_structure() -> None:
    found = candidates()
    order = order_of(found, "isomorphic")
    left = left_after(found, order, at_share(order, 0.5))
    assert left["wide"] == 32
    assert left["middle"] + left["narrow"] == 24


def test_cost_takes_first_what_saves_most_for_its_importance() -> None:
    even = [Candidate(n, u, u, importance=torch.ones(u, dtype=torch.float64)) for n, u in SIZES.items()]
    order = ordered(even, "cost", cost=cost)
    # Each unit of `middle` saves 80, one of `wide` 35, one of `narrow` 32.
    assert {removal.group for removal in order[:10]} == {"middle"}


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_meets_a_cost_by_one_removal_at_most(scope: Scope) -> None:
    found = candidates()
    order = order_of(found, scope)
    for times in (1.1, 2.0, 4.0, 8.0):
        goal = cost({}) / times
        taken = until(found, order, lambda left, goal=goal: cost(left) <= goal)
        assert taken is not None
        assert cost(left_after(found, order, taken)) <= goal < cost(left_after(found, order, taken - 1))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("times", [1.1, 2.0, 4.0, 8.0])
def test_what_a_last_large_removal_made_needless_stays(scope: Scope, times: float) -> None:
    found = candidates(round_to=8)
    order = order_of(found, scope)

    def enough(left: Mapping[str, int]) -> bool:
        return cost(left) <= cost({}) / times

    number = until(found, order, enough)
    assert number is not None
    kept = without_spare(found, order[:number], enough)
    left = left_after(found, kept, len(kept))
    assert enough(left)
    for name in {removal.group for removal in kept}:
        last = [removal for removal in kept if removal.group == name][-1]
        assert not enough({**left, name: left[name] + len(last.units)})
    for name in SIZES:  # within a group the order of importance holds
        own = [removal for removal in order if removal.group == name]
        assert [removal for removal in kept if removal.group == name] == own[: sum(r in kept for r in own)]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("floor", "round_to", "per_unit"), [(0.1, 1, 1), (0.3, 8, 1), (0.0, 8, 4), (0.5, 6, 4)]
)
def test_floor_and_rounding_hold_however_much_is_removed(
    scope: Scope, floor: float, round_to: int, per_unit: int
) -> None:
    found = candidates(floor, round_to, per_unit)
    order = order_of(found, scope)
    for taken in range(len(order) + 1):
        for name, left in left_after(found, order, taken).items():
            assert left >= max(1, floor * SIZES[name])
            assert left == SIZES[name] or left * per_unit % round_to == 0


@pytest.mark.parametrize("scope", SCOPES)
def test_units_of_a_group_go_by_importance(scope: Scope) -> None:
    found = candidates()
    order = order_of(found, scope)
    gone = units_gone(order[: len(order) // 2])
    for c in found:
        lost = c.importance[gone[c.name]]
        kept = c.importance[[u for u in range(c.units) if u not in set(gone[c.name].tolist())]]
        assert lost.max() <= kept.min()


def test_sensitivity_takes_layers_to_the_same_predicted_loss() -> None:
    found = candidates()
    order = order_of(found, "sensitivity")
    taken = until(found, order, lambda left: share_gone(found, left) >= 0.4)
    assert taken is not None
    gone = shares(found, order, taken)
    losses = [gone["wide"] * 1.0, gone["middle"] * 2.0, gone["narrow"] * 4.0]
    assert max(losses) - min(losses) < 4.0 / 16


def test_what_the_study_did_not_measure_goes_last() -> None:
    found = candidates(floor=0.0)
    order = order_of(found, "sensitivity")
    far = [index for index, removal in enumerate(order) if removal.group == "wide"][-10:]
    assert min(far) > max(i for i, r in enumerate(order) if r.group == "narrow" and i < 60)


def test_later_rounds_count_what_is_gone_already() -> None:
    first = Candidate("a", 16, 16, importance=torch.arange(16.0))
    order = ordered([first], "local")
    assert at_share(order, 0.5) == 8
    later = Candidate("a", 8, 16, importance=torch.arange(8.0))
    assert at_share(ordered([later], "local"), 0.5) == 0
    assert at_share(ordered([later], "local"), 0.75) == 4


def test_a_group_that_no_step_fits_keeps_all() -> None:
    assert removals(Candidate("odd", 5, 5, least=8, step=8, importance=torch.ones(5))) == []
    (first, *_) = removals(Candidate("odd", 10, 10, least=4, step=4, importance=torch.arange(10.0)))
    assert first.units == (0, 1)


def test_a_target_out_of_reach_is_refused_with_the_most_there_is() -> None:
    budget = Budget((Target("speedup", cost, 20.0, cost({})),), 0.5, cost)
    with pytest.raises(SecateurError, match=r"speedup 20 can't be reached: 3\.\d+ is the most"):
        budget.check(candidates(floor=0.5))
    budget.check(candidates(floor=0.1))
    with pytest.raises(SecateurError, match=r"ratio 0.9 can't be reached: 0\.5 is the most"):
        Budget((), 0.9, cost).check(candidates(floor=0.5))


def test_two_targets_are_both_reached() -> None:
    found = candidates()
    order = order_of(found, "global")
    other = Target("compression", lambda left: float((SIZES | dict(left))["narrow"]), 4.0, 16.0)
    budget = Budget((Target("speedup", cost, 2.0, cost({})), other), 0.5, cost)
    taken = budget.taken(found, order)
    left = left_after(found, taken, len(taken))
    assert cost(left) <= cost({}) / 2
    assert left["narrow"] <= 4
