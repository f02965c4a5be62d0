"""Stratified draws: exact in number, true to the classes, repeatable."""

import pytest
import torch

from engine.compute.data.splits import stratified


def draw(labels: torch.Tensor, count: int, seed: int = 0, keep: int = 0) -> torch.Tensor:
    return stratified(labels, count, torch.Generator().manual_seed(seed), keep)


@pytest.mark.parametrize("count", [0, 1, 7, 50, 99, 100, 200])
def test_exactly_as_many_as_asked_for(count: int) -> None:
    labels = torch.randint(7, (100,), generator=torch.Generator().manual_seed(1))
    assert int(draw(labels, count).sum()) == min(count, 100)


def test_classes_keep_their_share() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    assert labels[draw(labels, 100)].bincount().tolist() == [60, 30, 10]


def test_seed_decides_and_order_of_classes_does_not_leak() -> None:
    labels = torch.arange(1000) % 10
    assert torch.equal(draw(labels, 300, seed=4), draw(labels, 300, seed=4))
    assert not torch.equal(draw(labels, 300, seed=4), draw(labels, 300, seed=5))
    picked = draw(labels, 300).nonzero().squeeze(1).float()
    assert abs(picked.mean() - 500) < 60


def test_classes_of_one_image_stay_where_they_are() -> None:
    labels = torch.cat([torch.arange(50), torch.full((50,), 50)])
    mask = draw(labels, 40, keep=1)
    assert not mask[:50].any()
    assert int(mask.sum()) <= 40
