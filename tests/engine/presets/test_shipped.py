"""Finding presets by name and by path."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.presets import spec
from engine.presets.shipped import find, shipped


def test_the_quickstart_is_shipped() -> None:
    assert {"quickstart", "local-vs-global"} <= {preset.name for preset in shipped()}
    assert find("quickstart").name == "quickstart.yaml"


def test_small_versions_begin_with_the_same_training() -> None:
    """Whoever tries one after the other in a workspace waits for it once, the tests too."""
    first = [
        spec.read(preset.path, quick=True).trials[0] for preset in shipped() if preset.name != "quickstart"
    ]
    begun = {
        str((t.settings.seed, t.settings.threads, t.settings.model, t.settings.data, t.steps[0]))
        for t in first
    }
    assert len(begun) == 4, "of ResNet20, MobileNetV3, YOLO, and of a student and its teacher"


def test_small_versions_do_not_mirror_digits() -> None:
    """A mirrored digit is another one, or none: what a network recovers by it, it loses on what it is scored on."""
    mirroring = {
        preset.name
        for preset in shipped()
        if preset.name != "quickstart"
        for trial in spec.read(preset.path, quick=True).trials
        if trial.settings.data.name.startswith("digits") and "'crop-flip'" in str(trial.steps)
    }
    assert not mirroring


def test_a_file_that_is_there_comes_before_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("seed: 0\n")
    assert find("quickstart") == Path("quickstart")


def test_a_folder_does_not_hide_a_shipped_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").mkdir()
    assert find("quickstart").is_file()


@pytest.mark.parametrize("name", ["quickstrat", "quickstart.yml", "Quickstart"])
def test_a_misspelled_name_is_corrected(name: str) -> None:
    with pytest.raises(UsageError, match="Did you mean quickstart"):
        find(name)


def test_a_misspelled_path_is_corrected(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").touch()
    with pytest.raises(UsageError) as caught:
        find(str(tmp_path / "stduy.yaml"))
    assert caught.value.remedy == f"Did you mean {tmp_path / 'study.yaml'}?"
    with pytest.raises(UsageError) as caught:
        find(str(tmp_path / "abc.yaml"))
    assert not caught.value.remedy, "the suffix alone is like it"


def test_nothing_like_it_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="quickstart"):
        find("xyz" * 200)
