"""Passes that stand still at layers see what passes anew see, also when the layers behind them change."""

import threading

import pytest
import torch
from torch import Tensor, nn

from engine.compute.layers.select import weight_of
from engine.compute.steps.calibration import lockstep
from engine.compute.steps.calibration.lockstep import Anew, Lockstep, passes
from tests.engine.compute.compute_help import context_for, small_model

NAMES = ["conv1", "layer1.0.conv2", "layer2.0.conv1", "fc"]


def test_both_ways_see_the_same_while_the_network_changes() -> None:
    model, original = small_model(), small_model()
    before = threading.active_count()
    with Lockstep(model, original, NAMES, context_for(), 100) as standing:
        anew = Anew(model, original, context_for(), 100)
        for name in NAMES:
            seen, expected = list(standing.at(name)), list(anew.at(name))
            assert len(seen) == len(expected) == 2
            for one, two in zip(seen, expected, strict=True):
                assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
            with torch.no_grad():
                weight_of(model.get_submodule(name)).mul_(0.9)
    assert threading.active_count() == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in (*model.modules(), *original.modules()))


def test_layers_may_be_left_out_and_passes_left_early() -> None:
    model = small_model()
    with Lockstep(model, small_model(), NAMES, context_for(), 20) as standing:
        ((given, _),) = standing.at("layer2.0.conv1")
        assert given.shape == (20, 8, 8, 8)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10), "the hooks are gone"


def test_what_a_network_raises_is_raised_where_it_is_asked() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.failing = nn.Linear(64, 10), False

        def forward(self, pixels: Tensor) -> Tensor:
            if self.failing:
                raise ValueError("of its own")
            out: Tensor = self.fc(pixels.flatten(1))
            return out

    model = Failing()
    with Lockstep(model, Failing(), ["fc"], context_for(), 5) as standing:
        model.failing = True
        with pytest.raises(ValueError, match="of its own"):
            next(standing.at("fc"))


def test_of_networks_that_need_much_memory_passes_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    assert isinstance(passes(model, small_model(), NAMES, context_for(), 100), Lockstep)
    monkeypatch.setattr(lockstep, "ROOM", 1000)
    assert isinstance(passes(model, small_model(), NAMES, context_for(), 100), Anew)
