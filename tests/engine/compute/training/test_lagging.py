"""A network that learned well and scores badly because BatchNorm lags: told, and `calibrate` mends it."""

from torch import nn

from engine.compute.training.lagging import notice, old_share


def test_a_small_momentum_keeps_old_statistics() -> None:
    slow = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, momentum=0.01), nn.BatchNorm2d(2))
    assert old_share(slow, 10) == 0.99**10
    told = notice(slow, 63, 0.4, 2.3)
    assert "calibrate" in told and "53%" in told


def test_what_has_another_cause_is_not_told() -> None:
    usual = nn.BatchNorm2d(2)
    assert notice(usual, 200, 0.1, 3.0) == "", "overfitting: the statistics are new"
    assert notice(nn.BatchNorm2d(2, momentum=0.01), 63, 0.5, 0.6) == ""
    assert notice(nn.LayerNorm(2), 1, 0.1, 3.0) == ""
    assert notice(nn.BatchNorm2d(2, momentum=None), 5, 0.1, 3.0) == "", "a cumulative average"
