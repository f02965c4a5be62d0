"""A search as rows, from its state."""

from tests.engine.results.test_searches import state
from tui.views.search import front_rows


def test_the_front_has_a_finalist_in_the_place_of_its_candidate_and_the_answer_always() -> None:
    """Trial 3, as trial 4 before its last training, would beat it."""
    found = state(quality=0.85)
    front = front_rows(found, "nonzero_parameters", 4)
    assert [row.cells[0] for row in front] == ["*4", "5"]
    assert [row.cells[0] for row in front_rows(found, "nonzero_parameters", 2)] == ["4", "*2", "5"]
