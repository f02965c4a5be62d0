"""Measures beside top-1 accuracy, against their definitions and scikit-learn's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from engine.compute.measures import classes


def scores(count: int, kinds: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % kinds
    outputs = torch.randn(count, kinds, generator=random) * 2
    return outputs.scatter_add_(1, labels.unsqueeze(1), torch.ones(count, 1)), labels


@given(st.integers(20, 60), st.integers(6, 12), st.integers(0, 1000))
def test_they_are_scikit_learns(count: int, kinds: int, seed: int) -> None:
    outputs, labels = scores(count, kinds, seed)
    found = classes.beside_accuracy(outputs, labels)
    predictions = outputs.argmax(1)
    assert abs(found["balanced_accuracy"] - balanced_accuracy_score(labels, predictions)) < 1e-12
    assert abs(found["top5"] - top_k_accuracy_score(labels, outputs, k=5, labels=range(kinds))) < 1e-12
    theirs = confusion_matrix(labels, predictions, labels=range(kinds))
    assert classes.confusion(predictions, labels, kinds).tolist() == theirs.tolist()
    assert found["worst_class"] == min(theirs.diagonal() / theirs.sum(1))


def test_confidence_that_is_right_as_often_as_it_says_has_no_error() -> None:
    # Confidence 0.75, and right three times of four; then right once of four.
    outputs = torch.tensor([[3.0, 1.0]]).log().repeat(4, 1)
    assert classes.calibration_error(outputs, torch.tensor([0, 0, 0, 1])) < 1e-7
    assert abs(classes.calibration_error(outputs, torch.tensor([0, 1, 1, 1])) - 0.5) < 1e-7


def test_a_class_that_dies_is_seen_where_accuracy_hides_it() -> None:
    labels = torch.tensor([0] * 95 + [1] * 5)
    found = classes.beside_accuracy(torch.tensor([[1.0, 0.0]]).repeat(100, 1), labels)
    assert (found["balanced_accuracy"], found["worst_class"]) == (0.5, 0.0)
    assert "top5" not in found
    told = classes.as_dict(torch.zeros(100).long(), labels, ["common", "rare"])
    assert told == {
        "names": ["common", "rare"],
        "images": [95, 5],
        "correct": [95, 0],
        "confused": [[1, 0, 5]],
    }


def test_a_class_without_images_counts_for_nothing() -> None:
    outputs = torch.eye(3)[:2]
    assert classes.beside_accuracy(outputs, torch.tensor([0, 1]))["balanced_accuracy"] == 1.0


@pytest.mark.parametrize(("count", "kinds"), [(40, 4), (200, 10), (60, 2)])
def test_answers_dealt_out_at_random_guess_and_a_network_that_learned_something_does_not(
    count: int, kinds: int
) -> None:
    """Also of classes of unlike sizes, where to name the largest is right most often."""
    chance = torch.Generator().manual_seed(0)
    labels = (torch.rand(count, generator=chance) ** 2 * kinds).long()
    dealt = [labels[torch.randperm(count, generator=chance)] for _ in range(400)]
    assert sum(classes.guessed(one, labels) for one in dealt) > 0.94 * len(dealt)
    assert classes.guessed(torch.full_like(labels, int(labels.mode().values)), labels)
    knows = torch.where(torch.rand(count, generator=chance) < 0.6, labels, dealt[0])
    assert not classes.guessed(knows, labels)
    assert not classes.guessed(labels, labels)
