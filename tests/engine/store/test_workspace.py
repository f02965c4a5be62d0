"""Which folder is the workspace."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.store.paths import absolute, here
from engine.store.workspace import workspace


def test_a_working_folder_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(Path("a")) == here() / "a" == tmp_path / "a"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert absolute(tmp_path) == tmp_path
    for asked in (
        here,
        lambda: absolute(Path("a")),
        lambda: workspace("w"),
    ):
        with pytest.raises(UsageError, match="working folder is gone"):
            asked()


def test_what_is_given_comes_before_the_environment_and_that_before_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECATEUR_HOME", raising=False)
    assert workspace() == tmp_path / ".secateur"
    monkeypatch.setenv("SECATEUR_HOME", "from-environment")
    assert workspace() == tmp_path / "from-environment"
    assert workspace("given") == tmp_path / "given"
    assert workspace("~/w") == Path.home() / "w"
