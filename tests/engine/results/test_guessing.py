"""A network that never learned anything is told wherever its numbers are read, and one that was compressed to death is
not: that is what curves show."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main
from engine.reports.remarks import closing
from engine.results.guessing import OBSERVED, WORDS
from engine.results.remarks import remarks
from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.testing import folders
from engine.testing.events import finished, measures, planned, replayed, started

GUESSES: dict[str, Any] = {OBSERVED: True}


class Guessing(folders.Study):
    """A study whose network never knows anything."""

    def emit(self, event: ev.Event) -> None:
        if isinstance(event, ev.StepFinished):
            event = replace(event, observations=event.observations | GUESSES)
        super().emit(event)


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


def test_no_model_of_a_network_that_never_knew_anything_is_picked_or_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path))
    Guessing(tmp_path).start().finish()
    assert main(["show", "latest"]) == 0
    shown = capsys.readouterr().out
    assert WORDS in shown and "next 1." not in shown and "smallest within" not in shown
    assert main(["show", "latest", "--json"]) == 0 and json.loads(capsys.readouterr().out)["pick"] == {}
    assert main(["next", "latest"]) == 0 and WORDS in capsys.readouterr().out
    assert main(["next", "latest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["suggestions"] == [] and WORDS in found["why"]
    assert main(["next", "latest", "1"]) == 2 and WORDS in capsys.readouterr().err
    assert main(["show", "latest:pick"]) == 2 and WORDS in capsys.readouterr().err
    assert main(["report", "latest", str(tmp_path / "r.html")]) == 0
    assert "smallest within" not in (tmp_path / "r.html").read_text()
