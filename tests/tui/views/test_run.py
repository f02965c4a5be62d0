"""What the page of a running study says of its steps."""

from pathlib import Path

from engine.testing import folders as fabricate
from tui.views.run import Names, step_names


def test_names_hold_until_another_study_or_other_steps_are_shown(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a", sparsities=(0.3, 0.5)).start()
    other = fabricate.Study(tmp_path, "b", sparsities=(0.7, 0.8)).start()
    names = Names()
    first = names.of(study.state)
    study.trial(0)
    assert names.of(study.state) is first
    assert len(other.state.steps) == len(study.state.steps)
    assert names.of(other.state) == step_names(other.state) != first
    assert names.of(None) == {}
