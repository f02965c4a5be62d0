"""Curves of cost over rate: monotone, from 0, and read back the right way round."""

import math

import pytest

from engine.results.tolerance import curve, drop_curves, within_a_point


def test_a_curve_starts_at_nothing_for_nothing_and_never_falls() -> None:
    found = curve([(0.9, 0.5), (0.1, 0.02), (0.5, 0.01), (0.7, -0.3)])
    assert found.rates == (0.0, 0.1, 0.5, 0.7, 0.9)
    assert found.costs[0] == 0.0
    assert list(found.costs) == sorted(found.costs)
    assert found.costs[-1] == 0.5


def test_what_got_better_by_chance_costs_nothing() -> None:
    found = curve([(0.3, -0.01), (0.6, -0.02), (0.9, 0.2)])
    assert found.rate(0.0) == 0.6


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_rate_that_ruins_the_model_is_never_taken(lost: float) -> None:
    found = curve([(0.3, 0.1), (0.6, lost)])
    assert found.rate(1e9) == 0.3


def test_reading_a_rate_is_the_inverse_of_reading_a_cost() -> None:
    found = curve([(0.2, 0.1), (0.4, 0.4)])
    assert found.rate(0.1) == pytest.approx(0.2)
    assert found.rate(0.25) == pytest.approx(0.3)
    assert found.rate(5.0) == 0.4


def row(layer: str, rate: float, **quality: float) -> dict[str, object]:
    return {"layer": layer, "rate": rate, **quality}


def test_within_a_point_goes_by_the_quality_of_the_task() -> None:
    for name in ("validation_accuracy", "validation_map50_95"):
        rows = [row("a", 0.5, **{name: 0.89}), row("a", 0.9, **{name: 0.5}), row("b", 0.5, **{name: 0.88})]
        found = {"reference": {name: 0.9}, "rows": rows}
        assert drop_curves(found)["a"].costs == pytest.approx((0.0, 0.01, 0.4))
        assert within_a_point(found) == pytest.approx({"a": 0.5, "b": 0.25})
