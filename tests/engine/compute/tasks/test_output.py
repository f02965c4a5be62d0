"""How far outputs are apart, of all at once and of batches that are not held."""

import pytest
import torch
from torch import Tensor

from engine.compute.tasks.output import RelativeSquare, relative_square


def outputs(offset: float) -> tuple[Tensor, Tensor, Tensor]:
    """What is expected of nine images, what is given, and how much each value counts."""
    random = torch.Generator().manual_seed(0)
    expected = offset + torch.randn(9, 4, 5, generator=random)
    return expected, expected + 0.1 * torch.randn(9, 4, 5, generator=random), torch.rand(9, 4, 5)


def summed(batch: int, expected: Tensor, given: Tensor, weights: Tensor | None) -> float:
    sums = RelativeSquare()
    for at in range(0, len(expected), batch):
        part = slice(at, at + batch)
        sums.add(expected[part], given[part], None if weights is None else weights[part])
    return sums.value


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_sums_over_batches_are_those_of_all_images_however_they_are_cut(offset: float) -> None:
    """Also of values far from 0, as corners of boxes in pixels are."""
    expected, given, weights = outputs(offset)
    assert summed(4, expected, given, None) == pytest.approx(relative_square(expected, given), rel=1e-9)
    exact, mean = expected.double(), expected.double().mean(0)
    error = (((given.double() - exact) ** 2) * weights).sum()
    weighted = float(error / (((exact - mean) ** 2) * weights).sum())
    assert summed(4, expected, given, weights) == pytest.approx(weighted, rel=1e-9)
    assert summed(2, expected, given, weights) == summed(9, expected, given, weights)


def test_what_is_equal_does_not_deviate() -> None:
    expected, _, _ = outputs(1000.0)
    assert summed(4, expected, expected, None) == relative_square(expected, expected) == 0
    assert summed(4, expected[:1], expected[:1], None) == 0
