"""The `quick` section of a preset: a small version of the same study, checked whether or not it is run."""

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.errors import PresetInvalid, UsageError
from engine.presets import shipped, spec

PRESET = """\
model: {name: resnet20}
data: {name: fashion-mnist}
steps:
  - train: {epochs: 10}
  - prune.weights: {scope: global}
sweep:
  prune.weights.sparsity: 0..0.9 by 0.1
plot: {x: prune.weights.sparsity}
"""
QUICK = """\
quick:
  data.name: digits
  train.epochs: 1
  sweep.prune.weights.sparsity: [0, 0.5]
"""


def problems(quick: str, *overrides: str, preset: str = PRESET) -> list[str]:
    """What is wrong with the preset with that quick section."""
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(preset + quick, "p", overrides)
    return [str(problem) for problem in caught.value.problems]


def test_the_quick_version_is_what_the_same_settings_would_make() -> None:
    sets = ["data.name=digits", "train.epochs=1", "sweep.prune.weights.sparsity=[0, 0.5]"]
    by_hand = spec.parse(PRESET, "p-quick", sets)
    assert spec.parse(PRESET + QUICK, "p", quick=True) == by_hand
    assert spec.parse(PRESET + QUICK, "p").quick == by_hand


def test_the_section_has_no_effect_and_leaves_no_trace_without_being_asked_for() -> None:
    plain, with_section = spec.parse(PRESET, "p"), spec.parse(PRESET + QUICK, "p")
    assert with_section == plain
    assert with_section.document == plain.document


def test_what_is_recorded_of_a_quick_study_has_no_section_and_reads_back_the_same() -> None:
    found = spec.parse(PRESET + QUICK, "p", quick=True)
    assert "quick" not in found.document
    assert spec.parse(spec.to_yaml(found.document), found.name) == found


def test_overrides_come_after_quick() -> None:
    found = spec.parse(PRESET + QUICK, "p", ["train.epochs=3", "prune.weights.sparsity=0.9"], quick=True)
    assert found.steps[0].epochs == 3  # type: ignore[attr-defined]
    assert (found.axes, found.settings.data.name, len(found.trials)) == ({}, "digits", 1)


@pytest.mark.parametrize(
    ("section", "line", "path", "told"),
    [
        ("quick: {train.epochs: 0}", 9, "quick.train.epochs", "given 0; allowed: a whole number ≥ 1"),
        ("quick: {train.epoch: 1}", 9, "quick.train.epoch", "did you mean epochs?"),
        ("quick:\n  seed: 1\n  model.name: resnet21", 11, "quick.model.name", "did you mean resnet20?"),
        ("quick: {finetune.epochs: 1}", 9, "quick.finetune.epochs", "names nothing in this preset"),
        ("quick: {train: {epochs: 1}}", 9, "quick.train", "names a whole step"),
        ("quick: {quick.seed: 1}", 9, "quick.quick.seed", "names nothing in this preset"),
        ("quick: {sweep.prune.weights.sparsity: [0, 2]}", 9, "quick.sweep.prune.weights.sparsity[1]", "given 2"),
        ("quick: {sweep.prune.weights.sparsity: 1}", 9, "quick.sweep.prune.weights.sparsity", "a single value"),
        ("quick: {sweep.seed: [0, 1]}", 9, "quick.sweep.seed", "is not swept"),
        ("quick: 3", 9, "quick", "lines of PATH: value"),
        ("quick: {}", 9, "quick", "is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_section_is_told_with_its_line_and_path(
    section: str, line: int, path: str, told: str
) -> None:
    (problem,) = problems(section)
    assert problem.startswith(f"p:{line}: {path}: ")
    assert told in problem


def test_a_quick_version_that_cannot_work_is_told_where_it_fails() -> None:
    preset = PRESET.replace("sweep:", "  - finetune: {epochs: 1}\nsweep:")
    (problem,) = problems("quick: {train.enabled: false}", preset=preset)
    assert problem.startswith("p:6: steps[2].finetune: with quick applied, needs a trained model")


def test_a_problem_of_the_whole_preset_is_told_once() -> None:
    (problem,) = problems(QUICK, preset=PRESET.replace("global", "everywhere"))
    assert "with quick" not in problem


def test_an_override_that_mends_the_preset_is_not_held_against_its_quick_version() -> None:
    broken = PRESET.replace("global", "everywhere")
    assert spec.parse(broken + QUICK, "p", ["prune.weights.scope=local"])


def test_a_sweep_that_quick_ends_takes_its_plot_along() -> None:
    found = spec.parse(PRESET + "quick: {prune.weights.sparsity: 0.5}", "p", quick=True)
    assert (found.axes, found.settings.plot) == ({}, None)


def test_files_that_quick_names_are_looked_for_beside_the_preset(tmp_path: Path) -> None:
    (tmp_path / "small.safetensors").touch()
    text = PRESET + "quick: {model.weights: small.safetensors}"
    found = spec.parse(text, "p", folder=tmp_path, quick=True)
    assert found.settings.model.weights == str(tmp_path / "small.safetensors")


def test_no_step_may_be_called_quick() -> None:
    assert "the name of a section" in problems("", preset=PRESET.replace("{scope", "{id: quick, scope"))[0]


def test_asking_for_a_quick_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="has no quick version"):
        spec.read(shipped.find("quickstart"), quick=True)


def test_the_list_of_presets_shows_which_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    main(["presets", "--json"])
    listed = {preset["name"]: preset["quick"] for preset in json.loads(capsys.readouterr().out)["presets"]}
    assert listed["quickstart"] is None
    assert listed["local-vs-global"]["trials"] == 6
    main(["presets"])
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["local-vs-global"][1:3] == ["20", "6"]
