"""`show STUDY --trial N` says what is true of a trial, in the units of its measures."""

import json
from pathlib import Path

import pytest

from engine.cli.trial import show
from engine.store.files import CLASSES
from engine.studies.rundir import RunDir
from engine.testing.events import measures, study


def test_a_difference_of_two_percentages_is_in_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = study(({"sparsity": 0.5}, measures(0.8965, nonzero=50, sparsity=0.5)))
    show(RunDir.of(tmp_path, "s-1"), state, state.trials[0], as_json=False)
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["accuracy"].split("  ")[-1].strip() == "-0.35 points"
    assert rows["sparsity"].endswith("+50.0 points")
    assert rows["nonzero_parameters"].endswith("-50")


def test_what_a_cancelled_study_did_not_reach_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = study(({"sparsity": 0.5}, None))
    state.status = "cancelled"
    show(RunDir.of(tmp_path, "s-1"), state, state.trials[0], as_json=False)
    out = capsys.readouterr().out
    assert "trial 0 (not run)" in out
    assert "waiting" not in out


def test_classes_are_told_beside_the_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"names": ["cat", "dog"], "images": [4, 4], "correct": [1, 4], "confused": [[0, 1, 3]]}
    run = RunDir.of(tmp_path, "s-1")
    state = study(({"sparsity": 0.5}, measures(0.6, worst_class=0.25)))
    for key, found in (("m0", made), ("tm", made | {"correct": [4, 4], "confused": []})):
        folder = run.store().folder(key)
        folder.mkdir(parents=True)
        (folder / CLASSES).write_text(json.dumps(found))
    show(run, state, state.trials[0], as_json=False)
    out = capsys.readouterr().out
    assert "dog (3)" in out and "-75.0 points" in out and "worst_class" in out
    show(run, state, state.trials[0], as_json=True)
    assert json.loads(capsys.readouterr().out)["classes"] == made
