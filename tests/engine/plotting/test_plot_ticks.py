"""Ticks are round numbers inside the limits, and their labels never run into each other."""

import math
import random

import pytest

from engine.plotting import ticks
from engine.plotting.axis import Axis


def random_limits(seed: int) -> list[tuple[float, float]]:
    """Limits of every magnitude, some far from zero."""
    dice = random.Random(seed)
    found = []
    for _ in range(300):
        low = dice.choice([0.0, dice.uniform(-1, 1)]) * 10 ** dice.uniform(-200, 200)
        found.append((low, low + max(abs(low), 1e-200) * 10 ** dice.uniform(-6, 6)))
    return found


def test_linear_ticks_are_few_ordered_and_inside() -> None:
    for low, high in random_limits(1):
        for count in (2, 5, 9):
            values = ticks.linear_ticks(low, high, count)
            assert len(values) <= count
            assert all(low <= value <= high for value in values)
            assert list(values) == sorted(set(values))


def test_linear_ticks_are_multiples_of_1_2_or_5() -> None:
    for low, high in random_limits(2):
        values = ticks.linear_ticks(low, high, 9)
        if len(values) > 1:
            step = values[1] - values[0]
            first_digit = float(f"{step / 10 ** math.floor(math.log10(step) + 1e-9):.3g}")
            assert first_digit in (1.0, 2.0, 5.0)


def test_whole_axes_have_whole_ticks() -> None:
    assert ticks.linear_ticks(1, 3, 9, whole=True) == (1.0, 2.0, 3.0)


def test_log_ticks_are_powers_of_ten_over_many_decades() -> None:
    assert ticks.log_ticks(1e-4, 1e4, 20) == tuple(10.0**exponent for exponent in range(-4, 5))
    assert len(ticks.log_ticks(1e-300, 1e300, 6)) <= 6


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ([0, 0.5, 1], "accuracy", ["0 %", "50 %", "100 %"]),
        ([0.905, 0.91, 0.915], "accuracy", ["90.5 %", "91.0 %", "91.5 %"]),
        ([0, 500_000, 1_000_000], "size.plain", ["0.0 MB", "0.5 MB", "1.0 MB"]),
        ([0, 5, 10], "latency.torch.1", ["0 ms", "5 ms", "10 ms"]),
        ([0, 1, 2], "speedup.torch.1", ["0×", "1×", "2×"]),
        ([0, 2e7, 4e7], "macs", ["0 MMACs", "20 MMACs", "40 MMACs"]),
        ([0, 5, 10], "epoch", ["0", "5", "10"]),
    ],
)
def test_labels_share_a_unit_and_their_decimals(values: list[float], name: str, expected: list[str]) -> None:
    assert ticks.labels(values, name) == expected


def test_labels_on_a_log_axis_each_have_their_unit() -> None:
    assert ticks.labels([1e5, 1e6], "size.plain", log=True) == ["100 kB", "1 MB"]


def test_labels_in_a_row_keep_their_distance() -> None:
    for low, high in random_limits(3):
        row = ticks.row_of_ticks(Axis(low, high, measure="size.plain"), 60, len, 2, 10)
        ends = -2.0
        for tick in row:
            start = min(max(tick.position * 60 - len(tick.label) / 2, 0), 60 - len(tick.label))
            assert start >= ends + 2
            ends = start + len(tick.label)


def test_too_many_categories_show_every_nth() -> None:
    names = tuple(f"category {i}" for i in range(100))
    row = ticks.row_of_ticks(Axis(-0.5, 99.5, categories=names), 60, len, 2, 10)
    assert 2 <= len(row) < 20


def test_categories_are_abbreviated_before_any_is_left_out() -> None:
    names = ("magnitude of weights", "gradient of loss", "chosen at random")
    row = ticks.row_of_ticks(Axis(-0.5, 2.5, categories=names), 40, len, 2, 10)
    assert [tick.label[:5] for tick in row] == ["magni", "gradi", "chose"]
