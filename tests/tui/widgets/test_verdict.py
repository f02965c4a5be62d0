"""Which model to take is said with its quality and size whole, however narrow the terminal."""

import pytest

from engine.results import pick
from engine.testing.events import measures, study
from tui.widgets.verdict import MOST_LINES, Verdict

MANY = {f"prune.weights.parameter_{number}": f"value_{number}" for number in range(12)}


def told(parameters: dict[str, object], accuracy: float, width: int) -> list[str]:
    picked = pick.pick(study((parameters, measures(accuracy, nonzero=25))))
    assert picked is not None
    texts = [pick.verdict(picked, most) for most in range(len(parameters), -1, -1)]
    widget = Verdict()
    widget.show(texts)
    return ["".join(text for text, _ in line) for line in widget.lines(width, 0)]


@pytest.mark.parametrize("accuracy", [0.895, 0.85])
@pytest.mark.parametrize("width", [60, 78, 118])
@pytest.mark.parametrize("parameters", [{"prune.weights.sparsity": 0.5}, MANY])
def test_quality_and_size_are_whole(parameters: dict[str, object], width: int, accuracy: float) -> None:
    lines = told(parameters, accuracy, width)
    text = " ".join(lines)
    assert len(lines) <= MOST_LINES and all(len(line) <= width for line in lines)
    for words in ("trial 0:", f"{accuracy * 100:.2f} % (−", "points)", "(4.0× smaller)", "within 1 point"):
        assert words in text
    assert "…" in text or parameters is not MANY
