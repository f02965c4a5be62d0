"""Texts that others wrote reach neither a terminal nor a file with anything in them that steers it, in any command."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine.cli import study_text
from engine.cli.main import COMMANDS as DECLARED
from engine.cli.main import main
from engine.studies.state import StudyState
from engine.testing import folders
from engine.text.visible import STEERING, VisibleStream, json_text, visible, visible_but_colours
from tests.study_lab import Lab

HOSTILE = "x\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202egnp\u200b\nFORGED\r\x08模×"
"""Writes to the clipboard, clears the screen, colours by eight-bit codes, turns text around, begins a line."""
STRUCTURE = {"event", "key", "kind", "measure", "latency", "baseline", "baseline_measure", "state", "status"}
STRUCTURE |= {
    "boot_id",
    "name",
    "runtime",
    "precision",
    "replay_of",
    "verdict",
    "scope",
    "x",
    "y",
    "by",
    "level",
}
"""What must stay as it is for a study to be one."""


def poisoned(value: Any, at: str = "") -> Any:
    """The value with every text in it that is free made hostile."""
    if isinstance(value, dict):
        return {name: poisoned(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, at) for inner in value]
    return value + HOSTILE if isinstance(value, str) and at not in STRUCTURE else value


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a study that somebody else wrote, who was free to put anything into it."""
    study = folders.Study(tmp_path / "w", "theirs").start()
    study.trial(0)
    study.fail(1)
    study.finish("failed", {"title": "It failed", "detail": "a line\nanother", "remedy": "try again"})
    run = study.run
    lines = [poisoned(json.loads(line)) for line in run.events.read_bytes().splitlines()]
    run.events.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    status = poisoned(json.loads(run.status.read_bytes()))
    run.status.write_text(json.dumps(status, ensure_ascii=False), "utf-8")
    run.log.write_text(HOSTILE, "utf-8")
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path / "w"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "w"


def preset(folder: Path, text: str) -> str:
    file = folder / f"p{HOSTILE.replace('/', '')}.yaml"
    file.write_text(text, "utf-8")
    return str(file)


QUOTED = json.dumps(HOSTILE)
BAD = f"about: {QUOTED}\nmodel: {{name: {QUOTED}}}\ndata: {{name: {QUOTED}}}\n{QUOTED}: 1\nsteps: [train]\n"
GOOD = f"about: {QUOTED}\nmodel: {{name: resnet20}}\ndata: {{name: digits}}\nsteps: [train]\n"
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "list": lambda f: ["list"],
    "list as JSON": lambda f: ["list", "--json"],
    "show": lambda f: ["show", "theirs-1"],
    "show as JSON": lambda f: ["show", "theirs-1", "--json"],
    "trial": lambda f: ["show", "theirs-1", "--trial", "0"],
    "trial as JSON": lambda f: ["show", "theirs-1", "--trial", "0", "--json"],
    "plot": lambda f: ["plot", "theirs-1"],
    "plot by what is not there": lambda f: ["plot", "theirs-1", "--x", HOSTILE],
    "files": lambda f: ["plot", "theirs-1", "--csv", "c.csv", "--svg", "c.svg"],
    "file of a hostile name": lambda f: ["plot", "theirs-1", "--csv", f"{HOSTILE}.csv"],
    "report": lambda f: ["report", "theirs-1", "c.html"],
    "report as Markdown": lambda f: ["report", "theirs-1", "c.md", "--json"],
    "report of a hostile name": lambda f: ["report", "theirs-1", f"{HOSTILE}.html"],
    "note": lambda f: ["note", "theirs-1", HOSTILE, "--json"],
    "steer by a hostile name": lambda f: ["steer", "theirs-1", "--forbid", HOSTILE],
    "a hostile tag": lambda f: ["note", "theirs-1", "--tag", HOSTILE],
    "list by words": lambda f: ["list", "theirs", HOSTILE],
    "compare": lambda f: ["compare", "theirs-1:0", f"theirs-1:{HOSTILE}"],
    "compare two": lambda f: ["compare", "theirs-1:0", "theirs-1:1"],
    "compare as JSON": lambda f: ["compare", "theirs-1:0", "theirs-1:1", "--json"],
    "next": lambda f: ["next", "theirs-1"],
    "plot as JSON": lambda f: ["plot", "theirs-1", "--json"],
    "solve": lambda f: ["solve", "theirs-1", "--within", HOSTILE],
    "compress": lambda f: ["compress", HOSTILE, "--data", HOSTILE],
    "resume": lambda f: ["resume", HOSTILE],
    "hold": lambda f: ["hold", "theirs-1"],
    "release": lambda f: ["release", "theirs-1"],
    "throttle": lambda f: ["throttle", "theirs-1", HOSTILE],
    "settings": lambda f: ["config"],
    "specification as JSON": lambda f: ["spec", "--json"],
    "delete": lambda f: ["delete", "theirs-1", HOSTILE],
    "restore": lambda f: ["restore", HOSTILE],
    "clean": lambda f: ["clean"],
    "watch": lambda f: ["watch", "theirs-1"],
    "watch as JSON": lambda f: ["watch", "theirs-1", "--json"],
    "cancel": lambda f: ["cancel", "theirs-1"],
    "export": lambda f: ["export", "theirs-1", f"out{HOSTILE}"],
    "export in lines": lambda f: ["export", "theirs-1", "out", "--json-lines"],
    "replay": lambda f: ["replay", "theirs-1"],
    "an unknown study": lambda f: ["show", HOSTILE],
    "a bad preset": lambda f: ["run", preset(f, BAD)],
    "a bad override": lambda f: ["run", preset(f, GOOD), "--set", f"train.{HOSTILE}=1"],
    "a preset": lambda f: ["presets", preset(f, GOOD), "--json"],
    "presets": lambda f: ["presets"],
    "parameters": lambda f: ["params", HOSTILE],
    "data": lambda f: ["data", "list", "--workspace", str(f / HOSTILE)],
    "fetch": lambda f: ["data", "fetch", HOSTILE],
    "doctor": lambda f: ["doctor", "--workspace", str(f / HOSTILE)],
    "an unknown option": lambda f: ["list", f"--{HOSTILE}"],
    "an unknown command": lambda f: [HOSTILE],
}
PROGRAMS = {"lab", "mcp"}
"""Commands that go on until they are told to end, and guard what they say in other ways."""


def test_every_command_is_tried(tmp_path: Path) -> None:
    tried = {command(tmp_path)[0] for command in COMMANDS.values()}
    assert {name for names in DECLARED.values() for name in names} - tried == PROGRAMS


def harmless(text: str) -> bool:
    lines = text.split("\n")
    return not any(map(STEERING.search, lines)) and not any(line.startswith("FORGED") for line in lines)


def called(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as ended:  # of argparse
        return int(ended.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_says_what_steers(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert called(COMMANDS[name](tmp_path)) in (0, 1, 2, 130)
    said = capsys.readouterr()
    assert said.out + said.err
    assert harmless(said.out), repr(said.out)
    assert harmless(said.err), repr(said.err)
    for file in tmp_path.glob("c.*"):
        assert harmless(file.read_text("utf-8"))


@pytest.mark.parametrize("letters", ["latin-1", "ascii"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_written_on_any_terminal(
    workspace: Path, tmp_path: Path, name: str, letters: str
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), letters, write_through=True) for _ in range(2))
    with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err):
        assert called(COMMANDS[name](tmp_path)) in (0, 1, 2, 130)
    said = [stream.buffer.getvalue().decode(letters) for stream in (out, err)]  # type: ignore[attr-defined]
    assert harmless(said[0]) and harmless(said[1])
    if "JSON" in name or name == "export in lines":
        assert json.loads(said[0])


def test_a_plain_locale_is_enough(workspace: Path) -> None:
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "engine.cli.main", "show", "theirs-1"]
    done = subprocess.run(
        command, env=plain | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, check=False
    )
    assert done.returncode == 0 and done.stderr == b""
    assert b"theirs-1" in done.stdout and done.stdout.isascii()


def test_a_study_of_hostile_names_leaves_nothing_hostile_in_its_files(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    # Its file's name and a label of its trials, which name columns, rows and lines.
    text = f"""\
about: {QUOTED}
threads: 1
device: cpu
model: {{name: resnet8, arguments: {{width: 4}}}}
data: {{name: digits, limit: 100}}
steps:
  - train: {{epochs: 1, batch: 32}}
  - prune.weights: {{sparsity: 0.5}}
sweep:
  zip:
    variant: [{QUOTED}, plain]
    prune.weights.sparsity: [0.5, 0.9]
"""
    done = lab.call("run", lab.preset(text, name=f"p{HOSTILE.replace('/', '')}"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert harmless(done.stdout) and harmless(done.stderr)
    (folder,) = (lab.workspace / "studies").iterdir()
    files = [file for file in (*folder.iterdir(), *lab.workspace.rglob("*.json")) if file.is_file()]
    assert len(files) > 6
    for file in files:
        assert harmless(file.read_text("utf-8")), file
    again = lab.json("show", folder.name)
    assert again["trials"][0]["parameters"]["variant"] == HOSTILE  # and what it is called is not lost


def test_what_is_made_visible_can_be_told_apart() -> None:
    assert visible("a\x1bb") != visible("a b")
    assert json.loads(json_text({HOSTILE: [HOSTILE]}, 1)) == {HOSTILE: [HOSTILE]}
    assert harmless(json_text({HOSTILE: [HOSTILE]}, 1))
    assert (
        visible_but_colours("\x1b[38;5;1mred\x1b[0m\x1b]52;c\x07") == "\x1b[38;5;1mred\x1b[0m\\x1b]52;c\\x07"
    )


def test_a_log_is_guarded(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        print(f"a {HOSTILE}\nb", file=VisibleStream(file.fileno()))
    text = (tmp_path / "log").read_text("utf-8")
    assert text.endswith("b\n") and not any(map(STEERING.search, text.split("\n")))


def test_where_a_study_stands_in_a_queue_has_a_line_of_its_own() -> None:
    state = StudyState(name="sparser-1", queue="4 tasks wait: no node is free")
    assert study_text.heading(state) == ["sparser-1 (queued)", "4 tasks wait: no node is free"]


def test_a_study_that_failed_before_its_trials_were_planned_has_no_number_of_threads() -> None:
    state = StudyState(name="sparser-1", host="here", environment={"cpu": {"model": "AMD EPYC"}})
    (line,) = study_text.heading(state)
    assert "here · AMD EPYC · " in line and "thread" not in line
