"""Every command on a study or a place that is not as it should be: one message, never a traceback."""

import io
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.cli.main import COMMANDS as DECLARED
from engine.cli.main import main
from engine.config import files
from engine.errors import UsageError
from engine.store.workspace import workspace
from engine.testing import folders as fabricate
from tui import themes

COMMANDS = (
    ["list"],
    ["show", "STUDY"],
    ["show", "STUDY", "--trial", "1"],
    ["plot", "STUDY"],
    ["compare", "STUDY", "STUDY"],
    ["next", "STUDY"],
    ["solve", "STUDY"],
    ["export", "STUDY", "OUT"],
    ["resume", "STUDY", "--detach"],
    ["replay", "STUDY", "--detach"],
    ["watch", "STUDY"],
    ["cancel", "STUDY"],
    ["note", "STUDY", "a word"],
    ["report", "STUDY", "OUT.html"],
    ["hold", "STUDY"],
    ["steer", "STUDY", "--pin", "prune.weights"],
    ["clean", "--json"],
)
"""What reads a study's files."""
EVERY = (
    *COMMANDS,
    ["release", "STUDY"],
    ["throttle", "STUDY", "2"],
    ["run", "PRESET", "--detach"],
    ["data", "list"],
    ["doctor"],
    ["config"],
    ["compress", "resnet20", "--data", "digits", "--detach"],
    ["delete", "STUDY"],
    ["restore", "STUDY"],
)
"""What looks into a workspace."""
ELSEWHERE = (["data", "check", "PRESET"], ["presets", "quickstart"], ["params", "train"], ["spec"])
PROGRAMS = {"lab", "mcp"}
"""Commands that go on until they are told to end."""
CONTENTS = {
    "empty": b"",
    "a list": b"[1, 2]",
    "binary": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "a folder": None,
}


def told(
    folder: Path,
    study: str,
    capsys: pytest.CaptureFixture[str],
    commands: Sequence[list[str]] = COMMANDS,
    preset: str = "",
) -> None:
    """Run every command; each ends with a code, and a wrong one with a message."""
    words = {
        "STUDY": study,
        "PRESET": preset or str(folder / "studies" / study / "preset.yaml"),
        "OUT": str(folder / "out"),
        "OUT.html": str(folder / "out.html"),
    }
    for command in commands:
        given = [words.get(word, word) for word in command]
        if command[0] not in ("presets", "params", "config", "spec"):
            given += ["--workspace", str(folder)]
        try:
            code = main(given)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert code == 0 or "secateur: " in said.err or said.out, command


def test_every_command_is_tried() -> None:
    tried = {command[0] for command in (*EVERY, *ELSEWHERE)}
    assert {name for names in DECLARED.values() for name in names} - tried == PROGRAMS


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.runner import launch

    for name in ("start", "accepted"):  # what an engine does with it is told elsewhere
        monkeypatch.setattr(launch, name, lambda *given, **named: None)


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
    told(tmp_path, name, capsys, EVERY)


@pytest.mark.parametrize("names", [(), ("studies",), ("studies", "quickstart-1"), ("store",)])
def test_a_folder_is_shut(names: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    run = fabricate.finished(tmp_path / "w").run
    shut = (tmp_path / "w").joinpath(*names)
    shut.chmod(0)
    try:
        told(tmp_path / "w", run.name, capfd, EVERY)
    finally:
        shut.chmod(0o700)


def test_the_working_folder_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fabricate.finished(tmp_path / "w").run
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "stdin", io.StringIO(run.preset.read_text()))
    presets = ("-", "own.yaml", "PRESET")
    commands = (["list"], ["show", "STUDY"], *(["run", preset, "--detach"] for preset in presets))
    told(tmp_path / "w", run.name, capsys, commands)  # MKL ends what imports torch in such a folder


def test_nobody_knows_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No home folder, no entry in the list of users, and files that belong to nobody."""

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    run = fabricate.finished(tmp_path).run
    (tmp_path / "digits.yaml").write_text("model: {name: resnet20}\ndata: {name: digits}\nsteps: [train]\n")
    told(tmp_path, run.name, capsys, (*EVERY, *ELSEWHERE), preset=str(tmp_path / "digits.yaml"))


@pytest.mark.parametrize("made", ["a file", "nothing", "a dangling link", "a link to itself"])
def test_the_workspace_is_no_folder(tmp_path: Path, made: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "w"
    match made:
        case "a file":
            place.write_text("")
        case "a dangling link":
            place.symlink_to(tmp_path / "gone" / "far")
        case "a link to itself":
            place.symlink_to(place)
    told(place, "quickstart-1", capsys, EVERY)


def test_without_a_home_the_lab_has_its_usual_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert files.load()["theme"] == themes.DARK.name
    files.remember_theme(themes.LIGHT.name)


def test_a_home_that_is_not_known_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not known"):
        workspace("~nobody-of-this-name/work")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_standard_streams_that_are_closed_lead_nowhere(closed: tuple[int, ...], tmp_path: Path) -> None:
    """As in some services: nothing else gets their numbers, and a command ends as it does otherwise."""
    program = (
        "import os, sys\nfrom engine.cli.main import main\ncode = main(['run', 'no such preset', '--json'])\n"
        "sys.stdout.flush()\nnumber = os.open(__file__, os.O_RDONLY)\n"
        "os._exit(code if number > 2 and sys.stderr else 9)\n"
    )
    (tmp_path / "program.py").write_text(program)
    redirected = " ".join(f"{number}>&-" for number in closed)
    words = ["sh", "-c", f'exec "$0" "$1" {redirected}', sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(
        words,
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    if closed == (2,):
        assert "error" in json.loads(done.stdout), "nothing but JSON"


@pytest.mark.parametrize("words", [["presets"], ["spec", "--json"]])
def test_a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_one_message(words: list[str]) -> None:
    """Few bytes are written when the command ends, many before: what fails then is told alike."""
    command = [sys.executable, "-m", "engine.cli.main", *words]
    reading, writing = os.pipe()
    os.close(reading)
    cut = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (cut.returncode, cut.stderr) == (0, b"")
    with Path("/dev/full").open("w") as full:
        filled = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert filled.returncode == 1
    assert "Traceback" not in filled.stderr and "disk is full" in filled.stderr
