"""A network that never learned anything is told wherever its numbers are read, and one that was compressed to death is
not: that is what curves show."""

from typing import Any

import pytest

from engine.reports.remarks import closing
from engine.results.guessing import OBSERVED, WORDS
from engine.results.remarks import remarks
from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, planned, replayed, started

GUESSES: dict[str, Any] = {OBSERVED: True}


def study(*observed: dict[str, Any], done: bool = True) -> StudyState:
    """Two trials that share a training; what their steps observed, the training first."""
    shared, *own = observed
    events: list[ev.Event] = [started(), planned([{"sparsity": 0.1}, {"sparsity": 0.9}])]
    events += [finished("t", measures(0.1), observations=shared)]
    for number, one in enumerate(own):
        events += [finished(f"p{number}", observations=one)]
    if done:
        events += [
            finished("tm", measures(0.1)),
            finished("m0", measures(0.1)),
            finished("m1", measures(0.1)),
        ]
    return replayed(*events)


def test_it_is_said_once_for_all_trials_with_what_to_look_at() -> None:
    (line,) = [line for line in closing(study(GUESSES, GUESSES, GUESSES)) if line.startswith("!")]
    assert line.startswith("! 2 trials (0-1): the network is no better than guessing")
    assert all(word in line for word in ("data.mean", "learning rate", "labels"))


def test_it_is_said_as_soon_as_the_training_is_through() -> None:
    assert all(map(remarks, study(GUESSES, done=False).trials))


@pytest.mark.parametrize("observed", [({}, {}, {}), ({}, GUESSES, GUESSES), (GUESSES, {}, {})])
def test_a_network_that_knew_something_at_some_time_is_none_of_them(
    observed: tuple[dict[str, Any], ...],
) -> None:
    assert not any(map(remarks, study(*observed).trials))


def test_a_teacher_that_guesses_is_told() -> None:
    plan = planned([{}])
    plan.trials[0]["beside"] = [{"key": "T", "kind": "teacher", "address": "teacher"}]
    state = replayed(started(), plan, finished("t"), finished("T", observations=GUESSES))
    (remark,) = remarks(state.trials[0])
    assert remark["remark"] == WORDS and remark["text"].startswith("its teacher")
