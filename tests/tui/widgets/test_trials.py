"""Why a study that has ended has no curve is told as it is, with what chooses another one."""

from typing import Any

import pytest

from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, planned, replayed, started
from tests.engine.results import test_searches as searches
from tui.views import curves
from tui.widgets.trials import NO_VALUE, listed, without_curve


def study(*parameters: dict[str, Any], done: bool = True) -> StudyState:
    """One that has ended; `done`: with values."""
    events = [finished(f"m{number}", measures(0.9)) for number, _ in enumerate(parameters) if done]
    return replayed(started(), planned(parameters), *events, ev.StudyFinished(state="done"))


@pytest.mark.parametrize(
    "parameters",
    [[{}], [{"layers": {"a": 0.5}}, {"layers": {"a": 0.7}}], [{"scope": "local"}, {"scope": "global"}]],
)
def test_what_sweeps_no_number_is_told_as_the_command_tells_it(parameters: list[dict[str, Any]]) -> None:
    state = study(*parameters)
    words = "s-1 sweeps no number. Choose what to draw along: x"
    assert without_curve(state, None) == f"{words} in Curves (F4)."
    assert curves.nothing([state], curves.first_view(state, None)) == f"{words}."


def test_a_study_of_which_nothing_was_measured_has_no_value() -> None:
    state = study({"sparsity": 0.5}, done=False)
    assert without_curve(state, None) == NO_VALUE
    assert curves.nothing([state], curves.first_view(state, None)) == NO_VALUE


def test_a_study_that_goes_on_may_get_a_curve() -> None:
    assert without_curve(replayed(started(), planned([{}])), None) == ""


def test_candidates_of_a_search_are_listed_by_what_they_are_scored_on() -> None:
    rows, columns = listed(searches.state(), None)
    assert [column.label for column in columns[:4]] == ["#", "state", "validation", "test acc."]
    assert [row.cells[2:4] for row in rows[1:5]] == [
        ("85.00 %", ""),
        ("80.00 %", ""),
        ("89.00 %", ""),
        ("89.00 %", "89.00 %"),
    ]
    assert [row.cells[-1] for row in rows] == ["", "", "", "", "0", "0"], "parameters that a trial has not"
