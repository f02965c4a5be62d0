"""Least squares on what enters layers: whatever that is, there is an answer."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.compute.steps.calibration.activations import ridge_of


@given(
    count=st.integers(2, 3_000),
    width=st.integers(1, 40),
    size=st.floats(1e-20, 1e20),
    varies=st.sampled_from([0.0, 1e-12, 1e-8, 1e-7, 1e-3]),
    seed=st.integers(0, 10_000),
)
def test_moments_about_the_mean_are_invertible_however_little_inputs_vary(
    count: int, width: int, size: float, varies: float, seed: int
) -> None:
    """Inputs that never vary leave nothing of their moments but what rounding left, which need not be positive."""
    chance = torch.Generator().manual_seed(seed)
    constant, moves = torch.randn(1, width, generator=chance), torch.randn(count, 1, generator=chance)
    inputs = (size * (constant + varies * moves)).double()
    inputs = torch.cat([inputs, torch.ones(count, 1, dtype=torch.float64)], dim=1)
    moments = inputs.T @ inputs / count
    whole = moments[:-1, :-1]
    about = whole - moments[:-1, -1:] * moments[-1:, :-1]
    about.diagonal().add_(ridge_of(about, 1e-5, whole))
    assert torch.linalg.cholesky(about).isfinite().all()
    assert torch.linalg.inv(about).isfinite().all()
