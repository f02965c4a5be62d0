"""The solver against trying everything."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engine.search.solver import Option, solve

options = st.builds(
    Option,
    level=st.just(0.0),
    loss=st.integers(0, 1000).map(lambda thousandths: thousandths / 1000),
    costs=st.tuples(st.integers(0, 60).map(float)),
)
tables = st.dictionaries(st.sampled_from("abcde"), st.lists(options, min_size=1, max_size=4), min_size=1)


def best(table: dict[str, list[Option]], limits: list[float]) -> float | None:
    """The least loss of all choices that hold the limits; None where none does."""
    losses = [
        sum(one.loss for one in choice)
        for choice in itertools.product(*table.values())
        if all(sum(one.costs[n] for one in choice) <= limit for n, limit in enumerate(limits))
    ]
    return min(losses, default=None)


@given(tables, st.integers(0, 200))
def test_one_limit_is_exact(table: dict[str, list[Option]], limit: int) -> None:
    expected, chosen = best(table, [limit]), solve(table, [float(limit)])
    if expected is None:
        assert chosen is None
        return
    assert chosen is not None and list(chosen) == list(table)
    assert all(one in table[name] for name, one in chosen.items())
    assert sum(one.costs[0] for one in chosen.values()) <= limit
    assert abs(sum(one.loss for one in chosen.values()) - expected) < 1e-9


@given(st.data())
def test_of_several_limits_each_is_held(data: st.DataObject) -> None:
    two = st.builds(
        Option,
        level=st.just(0.0),
        loss=st.integers(0, 1000).map(lambda thousandths: thousandths / 1000),
        costs=st.tuples(st.integers(0, 15).map(float), st.integers(0, 15).map(float)),
    )
    table = data.draw(
        st.dictionaries(st.sampled_from("abcd"), st.lists(two, min_size=1, max_size=3), min_size=1)
    )
    limits = [float(data.draw(st.integers(0, 60))) for _ in range(2)]
    expected, chosen = best(table, limits), solve(table, limits)
    assert (chosen is None) == (expected is None)
    if chosen is not None and expected is not None:
        for number, limit in enumerate(limits):
            assert sum(one.costs[number] for one in chosen.values()) <= limit
        assert abs(sum(one.loss for one in chosen.values()) - expected) < 1e-9


def test_a_larger_budget_is_never_worse() -> None:
    table = {
        str(layer): [
            Option(rate, (1 + layer % 7) * rate**3, ((1 - rate) * (1000 + 137.5 * layer),))
            for rate in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9)
        ]
        for layer in range(20)
    }
    whole = sum(row[0].costs[0] for row in table.values())
    losses = []
    for share in (0.15, 0.3, 0.5, 0.8, 1.0):
        chosen = solve(table, [share * whole])
        assert chosen is not None
        losses.append(sum(one.loss for one in chosen.values()))
    assert losses == sorted(losses, reverse=True) and losses[-1] == 0.0
