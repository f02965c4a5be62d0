"""A preset goes on from one trial: that trial alone, then the new steps, under ids that no other step has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import PresetInvalid, SecateurError
from engine.presets import spec
from engine.results import edited
from engine.studies.rundir import RunDir
from engine.studies.state import TrialState, load
from engine.testing import folders

SEEDED = """\
seed: [3, 4]
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
  - prune.weights: {id: knob-prune-weights}
  - prune.weights: {id: prune-weights-2, sparsity: 0.2}
  - cluster.weights: {enabled: false}
sweep:
  knob-prune-weights.sparsity: [0.1, 0.6]
quick: {train.epochs: 1}
"""


SWEPT = """\
seed: [0, 3]
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 1}
  - prune.weights: {sparsity: 0.5}
  - quantize.static: {enabled: false}
sweep:
  prune.weights.sparsity: [0.5, 0.8]
  data.limit: [100, 200]
plot: {x: prune.weights.sparsity, y: accuracy}
"""
SEARCH = """\
model: {name: resnet20}
data: {name: digits}
steps: [train, {sensitivity: {of: weights}}]
search:
  smallest: size.packed
  budget: {trials: 8}
  over:
    - prune.weights: {sparsity: 0.1..0.9}
    - finetune: {epochs: 1..2}
"""


def steps_of(text: str) -> list[dict[str, Any]]:
    (trial,) = spec.parse(text, "a").trials
    return [{step.kind: step.model_dump(exclude_defaults=True)} for step in trial.steps]


def test_the_trial_alone_goes_on(tmp_path: Path) -> None:
    run = folders.Study(tmp_path, "a").start().finish().run
    trial = load(run.path).trials[9]
    text = edited.followed(run, trial, [{"prune.weights": {"sparsity": 0.97}}, {"calibrate": {}}], "on")
    made = spec.parse(text, "a")
    before, _, *_ = steps_of(text)
    assert made.axes == {} and made.document["about"] == "on" and "plot" not in made.document
    assert [step.kind for step in made.steps] == [
        "train",
        "prune.weights",
        "finetune",
        "prune.weights",
        "calibrate",
    ]
    assert made.steps[1].sparsity == trial.parameters["prune.weights.sparsity"]  # type: ignore[union-attr]
    assert made.steps[1].scope == trial.parameters["prune.weights.scope"]  # type: ignore[union-attr]
    assert made.steps[3].sparsity == 0.97 and before  # type: ignore[union-attr]


def test_its_seed_is_kept_and_ids_are_free_whatever_there_is(tmp_path: Path) -> None:
    run = folders.Study(tmp_path, "a", preset=SEEDED).start().run
    trial = replace(
        load(run.path).trials[0], parameters={"seed": 4, "knob-prune-weights.sparsity": 0.6}, proposal={}
    )
    added = [{"prune.weights": {"id": "knob-prune-weights", "sparsity": 0.9}}, {"cluster.weights": {}}]
    made = spec.parse(edited.followed(run, trial, added, "on"), "a")
    assert made.document["seed"] == 4 and len(made.trials) == 1
    names = [step.id or step.kind for step in made.steps]
    assert len(set(names)) == len(names) == 6
    assert [step.kind for step in made.trials[0].steps][-2:] == ["prune.weights", "cluster.weights"]


def test_what_would_be_refused_is_not_given(tmp_path: Path) -> None:
    run = folders.Study(tmp_path, "a").start().run
    trial = load(run.path).trials[0]
    with pytest.raises(SecateurError):
        edited.followed(run, trial, [{"prune.weights": {"sparsity": 7}}], "on")
    run.preset.unlink()
    with pytest.raises(SecateurError, match="can't be read"):
        edited.followed(run, trial, [], "on")


def swept(folder: Path, number: int) -> tuple[RunDir, TrialState, spec.Trial]:
    """A study with the trial of this number of `SWEPT`, and that as its preset has it."""
    run = folders.Study(folder, "a", preset=SWEPT).start().run
    wanted = spec.parse(SWEPT, "a").trials[number]
    return run, replace(load(run.path).trials[0], parameters=dict(wanted.parameters), proposal={}), wanted


def test_the_trial_goes_on_as_it_was(tmp_path: Path) -> None:
    run, trial, before = swept(tmp_path, 6)
    added = [{"prune.weights": {"sparsity": 0.9}}, {"calibrate": {}}]
    (made,) = spec.parse(edited.followed(run, trial, added, "about it"), "q").trials
    assert (made.settings.seed, made.settings.data) == (3, before.settings.data)
    assert made.steps[:2] == before.steps
    assert [step.address for step in made.steps[2:]] == ["prune-weights-2", "calibrate"]


def test_it_goes_on_after_one_of_its_steps(tmp_path: Path) -> None:
    run, trial, _ = swept(tmp_path, 0)
    (short,) = spec.parse(edited.followed(run, trial, [{"calibrate": {}}], "", after="train"), "q").trials
    assert [step.kind for step in short.steps] == ["train", "calibrate"]


def test_steps_that_cannot_follow_are_refused(tmp_path: Path) -> None:
    run, trial, _ = swept(tmp_path, 0)
    with pytest.raises(PresetInvalid, match="scope"):
        edited.followed(run, trial, [{"prune.channels": {"scope": "solved"}}], "")


def test_what_goes_on_from_the_baseline_of_a_search_is_no_search(tmp_path: Path) -> None:
    run = folders.Study(tmp_path, "a", preset=SEARCH).start().run
    trial = replace(load(run.path).trials[0], parameters={}, proposal={})
    made = spec.parse(edited.followed(run, trial, [{"calibrate": {}}], "on", after="sensitivity"), "a")
    assert made.space is None and [step.kind for step in made.steps] == ["train", "sensitivity", "calibrate"]
