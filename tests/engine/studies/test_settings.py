"""What a study's preset says is read from the study's folder, as it was when the study began."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SecateurError
from engine.params.preset import Plot
from engine.presets import shipped, spec
from engine.runner import launch
from engine.studies import rundir
from engine.studies.rundir import RunDir
from engine.studies.settings import to_json

PRESET = """\
model: {name: resnet20}
data: {name: digits}
seed: [0, 1]
steps: [train, prune.weights]
sweep: {model.arguments.width: [4, 8], prune.weights.sparsity: [0.1, 0.2, 0.3]}
plot: {x: prune.weights.sparsity, log: true}
"""


def begun(workspace: Path) -> RunDir:
    return launch.create(spec.parse(PRESET, "p"), workspace)


def changed(run: RunDir, **changes: Any) -> None:
    """The study's file of settings with other values."""
    found = json.loads(run.kept_settings.read_text())
    run.kept_settings.write_text(json.dumps(found | changes))


def test_a_study_that_begins_keeps_the_plot_and_the_settings_of_each_trial(tmp_path: Path) -> None:
    run = begun(tmp_path)
    found = run.settings()
    assert found.plot == Plot(x="prune.weights.sparsity", log=True)
    assert list(found.trials) == [trial.settings for trial in spec.parse(PRESET, "p").trials]
    assert found.of_trial(11).seed == 1 and found.of_trial(11).model.arguments == {"width": 8}


@pytest.mark.parametrize("path", [preset.path for preset in shipped.shipped()], ids=lambda path: path.stem)
def test_settings_of_every_preset_come_back_as_they_were(path: Path, tmp_path: Path) -> None:
    read = spec.read(path)
    text = spec.to_yaml(read.document)
    run = rundir.create(tmp_path, "s", text, {}, to_json(read, text))
    assert list(run.settings().trials) == [trial.settings for trial in read.trials]


def test_they_are_read_from_the_file_and_not_from_the_preset(tmp_path: Path) -> None:
    run = begun(tmp_path)
    kept = json.loads(run.kept_settings.read_text())["settings"]
    assert len(kept) == 4, "trials that differ in their steps alone share their settings"
    changed(run, settings=[one | {"plot": {"x": "macs"}} for one in kept])
    assert run.settings().plot == Plot(x="macs")


def test_of_a_study_that_has_not_kept_them_they_are_those_of_its_preset(tmp_path: Path) -> None:
    run = begun(tmp_path)
    found = run.settings()
    run.kept_settings.unlink()
    assert run.settings() == found
    run.preset.write_text("model: 3")
    with pytest.raises(SecateurError):
        run.settings()


@pytest.mark.parametrize(
    "damage",
    [
        {"trials": [0, 1, 9]},
        {"trials": []},
        {"settings": []},
        {"settings": [{"model": {"name": "resnet20", "of_another_version": 1}, "data": {"name": "digits"}}]},
        {"settings": 3},
        {"trials": [-1, {}, "0"]},
        {"preset": 3},
    ],
)
def test_what_another_version_wrote_or_half_of_it_gives_way_to_the_preset(
    damage: dict[str, Any], tmp_path: Path
) -> None:
    run = begun(tmp_path)
    found = run.settings()
    changed(run, **damage)
    assert run.settings() == found
    for content in (run.kept_settings.read_text()[:-20], "[]", "3", ""):
        run.kept_settings.write_text(content)
        assert run.settings() == found


def test_a_preset_that_was_changed_since_is_believed(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.preset.write_text(PRESET.replace("log: true", "y: loss").replace("0.1, 0.2, 0.3", "0.1"))
    found = run.settings()
    assert (found.plot, len(found.trials)) == (Plot(x="prune.weights.sparsity", y="loss"), 4)
    with pytest.raises(SecateurError, match="makes no trial 7"):
        found.of_trial(7)
