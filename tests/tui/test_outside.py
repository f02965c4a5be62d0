"""The lab's ways out of the terminal: the clipboard, also through tmux, and the user's own editor."""

import base64
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from engine.errors import SecateurError, UsageError
from engine.presets import spec
from engine.reports.clips import command
from engine.studies.state import load
from engine.testing import folders as fabricate
from tests.tui.terminal import HOME, Terminal
from tui.work import clipboard, editor

OSC52 = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def written(terminal: Terminal, *, seconds: float = 10.0) -> str:
    """The text that the lab puts into the clipboard."""
    end = time.monotonic() + seconds
    while not (found := OSC52.search(terminal.seen)):
        assert time.monotonic() < end, terminal.text()[-2000:]
        terminal.read(0.2)
    return base64.b64decode(found[1]).decode()


def test_a_value_and_a_command_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    run = fabricate.finished(tmp_path).run
    terminal = Terminal(tmp_path, (120, 40), "--open", "studies")
    terminal.ready("quickstart-1")
    for typed, text in (("value pick", "#9 98.03 % 1.67×"), ("again", f"secateur run {run.preset}")):
        os.write(terminal.file, b"y")
        terminal.ready("Copy")
        os.write(terminal.file, typed.encode())
        terminal.settle()
        os.write(terminal.file, b"\r")
        assert written(terminal) == text
        terminal.settle()
    assert terminal.close() == 0


def test_no_room_for_a_text_to_edit_is_told_like_an_editor_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SecateurError, match="Your editor can't be used"):
        editor.edit("steps: [train]\n", "p")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
def test_within_tmux_its_own_buffer_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = str(tmp_path / "socket")
    tmux = ["tmux", "-S", socket, "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", "sleep 60"], check=True, cwd=HOME)
    try:
        monkeypatch.setenv("TMUX", f"{socket},0,0")
        said: list[str] = []
        how = clipboard.put("trial 3\n× 4", said.append)
        assert "tmux" in how and said == []
        shown = subprocess.run([*tmux, "show-buffer"], capture_output=True, check=True).stdout
        assert shown.decode() == "trial 3\n× 4"
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def test_what_terminals_would_cut_is_refused_and_screen_gets_it_in_pieces() -> None:
    said: list[str] = []
    clipboard.put("a" * clipboard.LONGEST, said.append, {})
    assert len(said[0]) <= 100_000
    with pytest.raises(UsageError, match="too much"):
        clipboard.put("×" * clipboard.LONGEST, said.append, {})
    said.clear()
    clipboard.put("b" * 2000, said.append, {"STY": "1"})
    pieces = re.findall(r"\x1bP(.*?)\x1b\\", said[0], re.DOTALL)
    assert max(map(len, pieces)) < 768 and base64.b64decode("".join(pieces)[7:-1]) == b"b" * 2000


def test_the_command_repeats_a_trial_alone(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path).run
    trial = load(run.path).trials[9]
    words = shlex.split(command(run, trial))
    assert words[:3] == ["secateur", "run", str(run.preset)]
    (alone,) = spec.read(run.preset, words[4::2]).trials
    (meant,) = [one for one in spec.read_stored(run.preset).trials if one.index == 9]
    assert alone.steps == meant.steps


def test_the_preset_comes_back_from_an_editor_and_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps:\n- train: {epochs: 3}  # short\n"
    )
    seen = tmp_path / "seen"
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncat "$1" >> {seen}\nsed -i "s/epochs: 3/epochs: 70000/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    terminal = Terminal(tmp_path / "w", (120, 40), str(preset))
    terminal.ready("to run it")
    os.write(terminal.file, b"E")
    terminal.until("70000", seconds=20)
    assert "# short" in seen.read_text()  # the file as it is, comments and all
    terminal.settle()
    os.write(terminal.file, b"u")
    terminal.until("Undone: edit in your editor")
    os.write(terminal.file, b"\x11")
    assert terminal.ended(10.0) == 0
