"""What to try next follows from the results, and every suggestion is a preset that runs."""

import json
import re
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.params import Finetune
from engine.presets import spec
from engine.results import pick, suggestions
from engine.results.suggestions import Suggestion
from engine.studies.rundir import RunDir
from engine.studies.state import load
from engine.testing import folders


def found(
    folder: Path, within: float = 1.0, sparsities: tuple[float, ...] = folders.SPARSITIES
) -> list[Suggestion]:
    run = folders.Study(folder / "w", "a", sparsities=sparsities).start().finish().run
    return of(run, within)


def of(run: RunDir, within: float) -> list[Suggestion]:
    state = load(run.path)
    return suggestions.suggestions(run, state, pick.asked_for(state, run.settings(), within))


def test_a_knee_is_swept_more_finely_and_nothing_else(tmp_path: Path) -> None:
    first, *_ = found(tmp_path)
    assert first.title == "Sweep sparsity more finely between 50.0 % and 70.0 %"
    made = spec.parse(first.preset, "a")
    assert made.axes == {"prune.weights.sparsity": (0.54, 0.58, 0.62, 0.66)}
    assert {trial.steps[1].scope for trial in made.trials} == {"global"}  # type: ignore[union-attr]


@pytest.mark.parametrize("within", [0.01, 0.05, 0.1, 0.5, 1, 2, 5])
def test_a_knee_lies_where_the_loss_gets_too_large_whether_or_not_there_is_a_pick(
    tmp_path: Path, within: float
) -> None:
    run = folders.Study(tmp_path / "w", "a").start().finish().run
    first, *_ = of(run, within)
    low, high = (float(value) / 100 for value in re.findall(r"([\d.]+) %", first.title))
    losses = {
        trial.parameters["prune.weights.sparsity"]: pick.loss([trial], "accuracy")
        for trial in load(run.path).trials
        if trial.parameters["prune.weights.scope"] == "global"
    }
    assert losses[low] <= within / 100 < losses[high]


def test_where_the_gentlest_value_loses_too_much_gentler_ones_are_tried_and_nothing_is_put_on_top(
    tmp_path: Path,
) -> None:
    first, *others = found(tmp_path, within=0.01, sparsities=(0.8, 0.9, 0.95))
    assert first.title == "Try sparsity below 80.0 %" and "loses 4.27 points already" in first.why
    (values,) = spec.parse(first.preset, "a").axes.values()
    assert all(0 < value < 0.8 for value in values)
    assert not any("pick" in one.title for one in others)


def test_where_nothing_breaks_the_sweep_goes_on(tmp_path: Path) -> None:
    first, *_ = found(tmp_path, within=50)
    assert first.title == "Go on with sparsity beyond 95.0 %"
    (values,) = spec.parse(first.preset, "a").axes.values()
    assert all(0.95 < value < 1 for value in values)


def test_a_training_far_gentler_than_the_one_before_is_to_rise_in_every_trial(tmp_path: Path) -> None:
    _, higher, _ = found(tmp_path)
    assert (
        higher.title == "Let the rate of finetune rise to 0.1"
        and "at 0.02 what was trained at 0.2" in higher.why
    )
    made = spec.parse(higher.preset, "a")
    assert len(made.trials) == 2 * len(folders.SPARSITIES)
    for trial in made.trials:
        again = trial.steps[-1]
        assert isinstance(again, Finetune) and (again.learning_rate, again.schedule) == (0.1, "onecycle")


@pytest.mark.parametrize("again", ["learning_rate: 0.06", "learning_rate: 0.001, optimizer: adamw"])
def test_one_that_is_not_or_has_another_optimizer_is_left_at_its_rate(tmp_path: Path, again: str) -> None:
    preset = folders.PRESET.replace("learning_rate: 0.02", again)
    run = folders.Study(tmp_path / "w", "a", preset=preset).start().finish().run
    assert not any("rate" in one.title for one in of(run, 1.0))


def test_a_training_that_still_rises_and_steps_that_were_not_tried(tmp_path: Path) -> None:
    preset = folders.PRESET.replace("learning_rate: 0.02", "learning_rate: 0.1")
    _, longer, eight = of(folders.Study(tmp_path / "w", "a", preset=preset).start().finish().run, 1.0)
    assert longer.title == "Give finetune 4 epochs" and "still gained" in longer.why
    assert [step.kind for step in spec.parse(eight.preset, "a").steps][-1] == "quantize.static"
    assert len(spec.parse(eight.preset, "a").trials) == 1


def test_a_study_that_is_not_done_has_none(tmp_path: Path) -> None:
    run = folders.Study(tmp_path / "w", "a").start().run
    state = load(run.path)
    assert suggestions.suggestions(run, state, pick.pick(state)) == []


def test_the_command_and_show_and_reports_tell_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path / "w"))
    made = found(tmp_path)
    assert main(["next", "a-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suggestions"] == [one.as_dict() for one in made]
    assert main(["next", "a-1", "2"]) == 0 and capsys.readouterr().out == made[1].preset
    assert main(["next", "a-1", "9"]) == 2
    assert main(["show", "a-1"]) == 0 and "next 1. Sweep sparsity" in capsys.readouterr().out
    assert main(["report", "a-1", str(tmp_path / "r.html")]) == 0
    assert "Sweep sparsity more finely" in (tmp_path / "r.html").read_text()
