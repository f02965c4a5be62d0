"""Which folder is the workspace."""

from pathlib import Path

import pytest

from engine.store.workspace import workspace


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
