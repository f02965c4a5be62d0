"""The moving average of a network's weights."""

import math

import pytest
from torch import nn

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
    assert Train(ema=Ema()).key_material()["ema"] == {"decay": 0.9999, "ramp": 2000}
