"""Rates for every layer from what pruning each alone costs."""

from itertools import pairwise

import pytest

from engine.compute.steps.rates import findings, rates_for, solved_bits, solved_rates
from engine.errors import SecateurError
from engine.results.tolerance import cost_at, loss_curves
from tests.engine.compute.compute_help import small_model

RATES = (0.3, 0.6, 0.9)


def rows(**layers: tuple[float, ...]) -> list[dict[str, object]]:
    return [
        {"layer": layer, "rate": rate, "loss_increase": cost}
        for layer, costs in layers.items()
        for rate, cost in zip(RATES, costs, strict=True)
    ]


FOUND = rows(tough=(0.0, 0.1, 0.2), frail=(0.5, 1.0, 4.0), usual=(0.1, 0.3, 0.9))
SIZES = {"tough": 1000, "frail": 100, "usual": 400}


def share(rates: dict[str, float], sizes: dict[str, int] = SIZES) -> float:
    return sum(sizes[layer] * rate for layer, rate in rates.items()) / sum(sizes.values())


@pytest.mark.parametrize("wanted", [0.0, 0.05, 0.2, 0.5, 0.7, 0.85, 0.95, 0.999])
def test_the_share_asked_for_is_met(wanted: float) -> None:
    assert share(rates_for(FOUND, SIZES, wanted)) == pytest.approx(wanted, abs=1e-9)


def test_rates_never_fall_as_more_is_asked_for() -> None:
    steps = [rates_for(FOUND, SIZES, wanted / 50) for wanted in range(50)]
    for fewer, more in pairwise(steps):
        assert all(more[layer] >= fewer[layer] - 1e-9 for layer in SIZES)


def test_between_the_rates_measured_the_predicted_loss_is_the_same_everywhere() -> None:
    rates = rates_for(FOUND, SIZES, 0.6)
    level = rates["frail"] / 0.3 * 0.5
    assert rates == pytest.approx({layer: line.rate(level) for layer, line in loss_curves(FOUND).items()})


def test_a_layer_without_rows_keeps_its_weights_and_too_few_layers_are_an_error() -> None:
    sizes = SIZES | {"skipped": 1500}
    rates = rates_for(FOUND, sizes, 0.4)
    assert rates["skipped"] == 0.0
    assert share(rates, sizes) == pytest.approx(0.4)
    with pytest.raises(SecateurError, match=r"at most 50\.0%"):
        rates_for(FOUND, sizes, 0.6)


def test_what_is_gone_already_counts() -> None:
    rates = rates_for(FOUND, SIZES, 0.5, {"frail": 0.8})
    assert rates["frail"] == 0.8
    assert share(rates) == pytest.approx(0.5)


def test_without_a_sensitivity_step_the_remedy_is_that_step() -> None:
    with pytest.raises(SecateurError, match=r"sensitivity: \{of: channels\}"):
        findings(small_model(), "channels")


def predicted(rates: dict[str, float]) -> float:
    curves = loss_curves(FOUND)
    return sum(cost_at(curves[layer], rate) for layer, rate in rates.items())


@pytest.mark.parametrize("wanted", [0.0, 0.05, 0.2, 0.5, 0.7, 0.85, 0.9])
def test_solved_rates_meet_the_share_at_no_more_loss_than_equal_levels(wanted: float) -> None:
    solved, alike = solved_rates(FOUND, SIZES, wanted), rates_for(FOUND, SIZES, wanted)
    assert share(solved) == pytest.approx(wanted, abs=1e-9)
    assert predicted(solved) <= predicted(alike) + 0.02


def test_nothing_is_solved_beyond_what_was_measured() -> None:
    with pytest.raises(SecateurError, match=r"90\.0% would go"):
        solved_rates(FOUND, SIZES, 0.95)
    sizes = SIZES | {"skipped": 1500}
    rates = solved_rates(FOUND, sizes, 0.4, {"frail": 0.8})
    assert (rates["skipped"], rates["frail"]) == (0.0, 0.8)
    assert share(rates, sizes) == pytest.approx(0.4)


def test_bits_are_spent_where_they_count() -> None:
    bits = [
        {"layer": layer, "rate": 1 - bits / 32, "bits": bits, "loss_increase": cost / bits}
        for layer, cost in {"tough": 0.01, "usual": 0.3, "frail": 4.0, "other": 9.0}.items()
        for bits in (2, 4, 8)
    ]
    chosen = solved_bits(bits, SIZES, 4)
    assert set(chosen) == set(SIZES), "a layer that the step does not change has none"
    assert sum(SIZES[layer] * n for layer, n in chosen.items()) <= 4 * sum(SIZES.values())
    assert chosen["frail"] == 8 > chosen["tough"]
    with pytest.raises(SecateurError, match=r"bits are 4, 8"):
        solved_bits([row for row in bits if row["bits"] != 2], SIZES, 3)
