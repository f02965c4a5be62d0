"""The search for how much has to go until a model is measured to be as fast as wanted."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from torch import nn

from engine.compute.latency import bench
from engine.compute.steps.channels import latency_target
from engine.compute.steps.channels.latency_target import (
    CONFIRMED,
    TOLERANCE,
    TRIES,
    Found,
    falling,
    reach,
    search,
)
from engine.params.channels import LatencyTarget
from engine.params.runtimes import TargetRuntime
from engine.results.latency_targets import TOLERATED, within
from tests.engine.compute.compute_help import context_for, small_model

pytestmark = pytest.mark.usefixtures("warm_server")

UNITS = 1000


class Toy:
    """A network of UNITS units that go `step` at a time, down to the share `least`; its time is what `time` says of the
    share that is left, times what `error` gives with each measurement."""

    def __init__(
        self,
        time: Callable[[float], float],
        *,
        least: float = 0.0,
        step: int = 1,
        errors: Iterator[float] | None = None,
    ) -> None:
        self.time = time
        self.shares = [left / UNITS for left in range(UNITS, max(int(least * UNITS), 1) - 1, -step)]
        self.errors = errors or itertools.repeat(1.0)
        self.measured: list[int] = []

    def measure(self, removals: int) -> float:
        self.measured.append(removals)
        return self.time(1.0) / self.time(self.shares[removals]) * next(self.errors)

    def find(self, wanted: float) -> Found:
        return search(self.shares, self.measure, wanted)

    def true(self, found: Found) -> float:
        """How many times as fast the network found is."""
        return self.time(1.0) / self.time(self.shares[found.removals])


TIMES = {
    "proportional": lambda share: share,
    "overhead": lambda share: 0.1 + share,
    "root": lambda share: share**0.5,
    "square": lambda share: share**2,
    "bent": lambda share: 0.05 + share**1.5,
    "slower at first": lambda share: 0.2 + share + 0.6 * share * (1 - share),
}


@pytest.mark.parametrize("wanted", [1.1, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_the_wanted_speedup_is_found_in_a_few_measurements(
    time: Callable[[float], float], wanted: float
) -> None:
    toy = Toy(time)
    found = toy.find(wanted)
    assert within(toy.true(found), wanted, TOLERANCE)
    assert len(set(toy.measured)) <= TRIES
    assert len(found.measured) == CONFIRMED, "what the search ends with was measured again"
    assert found.met


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_one_wrong_measurement_does_not_make_the_search_miss(position: int, factor: float) -> None:
    errors = (factor if number == position else 1.0 for number in itertools.count())
    toy = Toy(lambda share: 0.1 + share, errors=errors)
    found = toy.find(2.0)
    assert within(toy.true(found), 2.0, TOLERATED)


def test_a_few_percent_of_noise_leave_the_target_within_what_is_tolerated() -> None:
    for start in range(10):
        noise = itertools.islice(itertools.cycle([1.0, 1.03, 0.97, 0.98, 1.02, 1.01, 0.99]), start, None)
        toy = Toy(lambda share: 0.1 + share, errors=noise)
        assert within(toy.true(toy.find(2.0)), 2.0, TOLERATED)


def test_a_runtime_that_gains_in_steps_gives_the_nearest_that_meets_the_target() -> None:
    toy = Toy(lambda share: share, step=250)
    found = toy.find(3.0)
    assert (found.speedup, found.met) == (4.0, True)
    assert not within(found.speedup, 3.0)
    assert len(set(toy.measured)) <= 3, "equal networks are one"


def test_a_target_out_of_reach_is_known_soon_with_the_most_that_was_measured() -> None:
    toy = Toy(lambda share: share, least=0.4)
    found = toy.find(3.0)
    assert (found.speedup, found.met) == (pytest.approx(2.5), False)
    assert found.removals == len(toy.shares) - 1
    assert len(toy.measured) <= 2 + CONFIRMED


def test_pruning_that_makes_a_model_slower_meets_nothing() -> None:
    assert not Toy(lambda share: 2 - share).find(2.0).met


def test_nothing_that_may_go_is_nothing_met() -> None:
    assert not search([1.0], lambda removals: 1.0, 2.0).met


def test_a_network_that_was_pruned_before_may_be_fast_enough_as_it_is() -> None:
    found = search([0.5, 0.4, 0.3], lambda removals: [2.0, 2.5, 3.3][removals], 2.0)
    assert (found.removals, found.speedup) == (0, 2.0)


def test_what_rises_is_pooled_by_weight() -> None:
    assert falling([1.0, 1.4, 0.5], [float("inf"), 1, 1]) == [1.0, 1.0, 0.5]
    assert falling([0.4, 0.7], [2, 1]) == pytest.approx([0.5, 0.5])


SHARES = [1.0, 0.75, 0.5, 0.25]


def narrower(removals: int) -> nn.Module:
    """A ResNet8 for digits whose width goes with the share."""
    return small_model(width=round(8 * SHARES[removals]))


@pytest.mark.parametrize("runtime", get_args(TargetRuntime))
def test_a_whole_network_is_measured_against_the_original_and_the_search_repeats(
    runtime: TargetRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few and short: what a loaded machine measures must not matter.
    for name in ("TRIES", "CONFIRMED"):
        monkeypatch.setattr(latency_target, name, 1)
    for name, value in {"DISTURBED_TRIES": 1, "BLOCKS": 3, "BLOCK_MS": 2}.items():
        monkeypatch.setattr(bench, name, value)
    target = LatencyTarget(speedup=2.0, runtime=runtime)
    context = context_for(partial=tmp_path)
    first = reach(target, small_model(), narrower, SHARES, context, "end")
    recorded = context.recorded()["end, 2 removals, measurement 1"]
    assert recorded["runtime"] == runtime
    assert first.speedup == recorded["speedup"] > 0

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(bench, "measure_pair", refused)
    again = reach(target, small_model(), narrower, SHARES, context_for(partial=tmp_path), "end")
    assert again == first
