"""The search for the share of a predicted cost at which a model is measured to be as fast as wanted."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from engine.compute.latency import bench, forks
from engine.compute.steps.channels import latency_target
from engine.compute.steps.channels.latency_target import TOLERANCE, TRIES, Found, reach, search
from engine.errors import SecateurError
from engine.params.channels import LatencyTarget, TargetRuntime
from tests.engine.compute.compute_help import context_for, small_model

UNITS = 1000


@pytest.fixture(scope="module", autouse=True)
def warm_server() -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(forks.PRELOAD))


class Toy:
    """A network of up to UNITS units, pruned to a share of them; its time is what `time` says of the share."""

    def __init__(self, time: Callable[[float], float], *, least: float = 0.0, step: int = 1) -> None:
        self.time, self.least, self.step = time, least, step
        self.measured: list[float] = []

    def prune(self, share: float) -> nn.Module:
        units = max(int(max(share, self.least) * UNITS) // self.step * self.step, self.step)
        return nn.Linear(units, 1, bias=False)

    def measure(self, model: nn.Module) -> float:
        assert isinstance(model, nn.Linear)
        share = model.in_features / UNITS
        self.measured.append(share)
        return self.time(1.0) / self.time(share)

    def find(self, wanted: float) -> Found:
        return search(self.prune, self.measure, wanted)


@pytest.mark.parametrize("wanted", [1.1, 1.5, 2.0, 3.0, 8.0])
@pytest.mark.parametrize(
    "time",
    [
        lambda share: share,
        lambda share: 0.1 + share,
        lambda share: share**0.5,
        lambda share: share**2,
        lambda share: 0.05 + share**1.5,
    ],
    ids=["proportional", "overhead", "root", "square", "bent"],
)
def test_the_wanted_speedup_is_found_in_a_few_measurements(
    time: Callable[[float], float], wanted: float
) -> None:
    toy = Toy(time)
    found = toy.find(wanted)
    assert found.speedup == pytest.approx(wanted, rel=TOLERANCE + 0.01)
    assert len(set(toy.measured)) <= TRIES


def test_a_runtime_that_gains_in_steps_gives_the_closest_faster_model() -> None:
    toy = Toy(lambda share: share, step=250)
    found = toy.find(3.0)
    assert found.speedup == 4.0
    assert len(set(toy.measured)) <= 3, "equal structures are one"


def test_a_target_out_of_reach_tells_the_most_that_was_measured() -> None:
    toy = Toy(lambda share: share, least=0.4)
    with pytest.raises(SecateurError, match="3 times as fast") as caught:
        toy.find(3.0)
    assert "2.50 times" in caught.value.detail
    assert set(toy.measured) == {0.4}


def test_pruning_that_makes_a_model_slower_is_told_too() -> None:
    toy = Toy(lambda share: 2 - share)
    with pytest.raises(SecateurError, match="2 times as fast"):
        toy.find(2.0)


def test_the_model_found_is_the_one_that_was_measured() -> None:
    toy = Toy(lambda share: 0.1 + share)
    found = toy.find(2.0)
    assert isinstance(found.model, nn.Linear)
    share = found.model.in_features / UNITS
    assert 1.1 / (0.1 + share) == found.speedup
    assert torch.equal(
        torch.tensor(toy.prune(found.share).weight.shape), torch.tensor(found.model.weight.shape)
    )


def narrower(share: float) -> nn.Module:
    """A ResNet20 for digits whose width goes with the share."""
    return small_model(width=max(round(8 * share), 1))


@pytest.mark.parametrize("runtime", get_args(TargetRuntime))
def test_a_whole_network_is_measured_against_the_original_and_the_search_repeats(
    runtime: TargetRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One try, and every speed-up above a fiftieth is fine: what a loaded machine measures must not matter.
    for name, value in {
        "TRIES": 1,
        "TOLERANCE": 0.99,
        "DISTURBED_TRIES": 1,
        "BLOCKS": 3,
        "BLOCK_MS": 2,
    }.items():
        monkeypatch.setattr(latency_target, name, value)
    target = LatencyTarget(speedup=2.0, runtime=runtime)
    first = reach(target, small_model(), narrower, context_for(partial=tmp_path), "end")
    recorded = context_for(partial=tmp_path).recorded()["end speedup 0"]
    assert recorded["runtime"] == runtime
    assert first.speedup == recorded["speedup"] > 0

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(latency_target, "measure_pair", refused)
    again = reach(target, small_model(), narrower, context_for(partial=tmp_path), "end")
    assert (again.share, again.speedup) == (first.share, first.speedup)
    assert bench.structure(again.model) == bench.structure(first.model)
