"""Where an export is to be written is tried before anything else is done for it."""

import os
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.results.exports import check_writable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.touch()
    return path


@pytest.mark.parametrize("out", ["/proc/none/x", "file/x", "file/far/below/x"])
def test_what_no_folder_can_be_made_in_is_refused(
    out: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    with pytest.raises(UsageError, match="can't be written") as error:
        check_writable(Path(out))
    assert error.value.remedy == "Choose another name or folder."


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
@pytest.mark.parametrize("out", ["locked", "locked/new"])
def test_a_folder_that_is_locked_is_refused(out: str, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(tmp_path / out)


@pytest.mark.parametrize("out", ["new", "a/b/c", "."])
def test_trying_leaves_nothing_behind(out: str, tmp_path: Path) -> None:
    check_writable(tmp_path / out)
    assert not [*tmp_path.iterdir()]
