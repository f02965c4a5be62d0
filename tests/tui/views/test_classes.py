"""Classes on the trial's page: bars, losses in words, the confusion matrix where it fits."""

from tests.engine.results.test_classes import BEFORE, NOW
from tui.views.classes import classes


def text(width: int) -> list[str]:
    return ["".join(part for part, _ in line) for line in classes(NOW, BEFORE, width)]


def test_bars_say_what_was_lost_without_colour() -> None:
    cat = next(line for line in text(100) if "cat" in line)
    assert "█████···············" in cat and "25.0 %" in cat and "-75.0 points" in cat and "dog (3)" in cat


def test_the_matrix_is_left_out_where_it_does_not_fit() -> None:
    assert any("Taken for" in line for line in text(40))
    assert not any("Taken for" in line for line in text(10))
    assert classes({}, {}, 100) == []
