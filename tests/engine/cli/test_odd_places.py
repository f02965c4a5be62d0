"""Every command on a study or a place that is not as it should be: one message, never a traceback."""

import os
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.errors import UsageError
from engine.store.workspace import workspace
from engine.testing import folders as fabricate
from tui import themes

COMMANDS = (
    ["list"],
    ["show", "STUDY"],
    ["show", "STUDY", "--trial", "1"],
    ["plot", "STUDY"],
    ["export", "STUDY", "OUT"],
    ["resume", "STUDY", "--detach"],
    ["hold", "STUDY"],
    ["clean", "--json"],
)
CONTENTS = {
    "empty": b"",
    "a list": b"[1, 2]",
    "binary": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "a folder": None,
}


def told(folder: Path, study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run every command; each ends with a code, and a wrong one with a message."""
    for command in COMMANDS:
        given = [{"STUDY": study, "OUT": str(folder / "out")}.get(word, word) for word in command]
        try:
            code = main([*given, "--workspace", str(folder)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert code == 0 or said.err.startswith("secateur: ") or said.out, command


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.runner import launch

    monkeypatch.setattr(
        launch, "start", lambda *given, **named: None
    )  # what an engine does with it is told elsewhere


@pytest.mark.parametrize("name", ["study.json", "status.json", "settings.json", "preset.yaml", "code.json"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_file_of_the_study_is_odd(
    tmp_path: Path, name: str, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fabricate.finished(tmp_path).run
    file = run.path / name
    file.unlink(missing_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    told(tmp_path, run.name, capsys)


@pytest.mark.parametrize("name", ["n" * 300, "/tmp/" + "n" * 300, "..", "a\nb", "no\x00thing"])
def test_a_name_is_odd(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fabricate.finished(tmp_path)
    told(tmp_path, name, capsys)


@pytest.mark.parametrize("names", [(), ("studies",), ("studies", "quickstart-1"), ("store",)])
def test_a_folder_is_shut(names: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    run = fabricate.finished(tmp_path / "w").run
    shut = (tmp_path / "w").joinpath(*names)
    shut.chmod(0)
    try:
        told(tmp_path / "w", run.name, capfd)
    finally:
        shut.chmod(0o700)


def test_without_a_home_the_lab_has_its_usual_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert themes.chosen() == themes.DARK.name
    themes.remember(themes.LIGHT.name)


def test_a_home_that_is_not_known_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not known"):
        workspace("~nobody-of-this-name/work")
