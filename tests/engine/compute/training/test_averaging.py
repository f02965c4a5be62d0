"""The moving average of a network's weights."""

import math

import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import validate
from engine.compute.training.averaging import Average
from engine.compute.training.loop import fit
from engine.params.training import Ema, Train
from tests.engine.compute.compute_help import context_for, small_model


def test_it_is_ultralytics_average_of_weights_and_statistics() -> None:
    """Of the weights after updates 1, 2, 3; the decay rises as ``decay * (1 - exp(-update / ramp))``."""
    model, params = nn.BatchNorm1d(1), Ema(decay=0.9, ramp=2)
    average, expected = Average(model, params), 0.0
    assert model.running_mean is not None
    for update in (1, 2, 3):
        model.running_mean.fill_(float(update))
        average.update(update)
        decay = 0.9 * (1 - math.exp(-update / 2))
        expected = decay * expected + (1 - decay) * update
    assert float(average.state["running_mean"]) == pytest.approx(expected)
    assert "num_batches_tracked" not in average.state
    with average.in_place():
        assert float(model.running_mean) == pytest.approx(expected)
    assert float(model.running_mean) == 3


class Peculiar(nn.Module):
    """Beside weights a mask of -inf, a counter and a frozen table; and a weight that is partly infinite."""

    mask: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, float("-inf")]))
        self.table = nn.Parameter(torch.tensor([float("nan"), 2.0]), requires_grad=False)
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
        self.register_buffer("seen", torch.zeros(()))


def test_what_is_not_trained_or_not_finite_is_that_of_the_last_update() -> None:
    model = Peculiar()
    average = Average(model, Ema(decay=0.9, ramp=1))
    for update in (1, 2):
        with torch.no_grad():
            model.weight[0] += 1.0
        model.seen += 1
        average.update(update)
    average.fill_()
    one, infinite = model.weight.tolist()
    assert 1 < one < 3 and infinite == float("-inf")
    assert float(model.seen) == 2 and model.mask.tolist() == [0.0, float("-inf")]
    assert model.table.tolist()[1] == 2


def test_what_is_scored_and_kept_is_the_average() -> None:
    """With a decay near 1 and no ramp to speak of, two epochs leave the weights where they were."""
    start = small_model()
    params = Train(epochs=2, learning_rate=0.2, ema=Ema(decay=1 - 1e-9, ramp=1))
    context = context_for()
    model = fit(small_model(), params, context)
    plain = fit(small_model(), params.model_copy(update={"ema": None}), context_for())
    # The first updates count, as the ramp has only begun; then nothing does.
    moved, far = (
        float((one.get_parameter("fc.weight") - start.fc.weight).detach().abs().max())
        for one in (model, plain)
    )
    assert 0 < moved < far / 2
    assert context.scored is not None
    assert context.scored.quality == validate(model, context_for()).quality


def test_a_preset_without_it_has_the_key_that_it_had() -> None:
    assert not {"ema", "mosaic"} & Train().key_material().keys()
    assert Train(ema=Ema()).key_material()["ema"] == {"decay": 0.9999, "ramp": 2000, "revision": Ema.revision}
