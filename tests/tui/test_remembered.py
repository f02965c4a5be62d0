"""A lab goes on where the last one was: its place and study, and edits that were not saved, also after a kill."""

import os
import signal
import time
from pathlib import Path

import pytest

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows
from tests.tui.terminal import Terminal
from tui.app import Lab
from tui.keys.action import place
from tui.lab.fields import SECTIONS
from tui.work.remembered import Keeper, Remembered


def kept(workspace: Path, words: str) -> None:
    """Wait until the words are in what a lab keeps."""
    end = time.monotonic() + 20
    while not any(words in file.read_text() for file in (workspace / "state").rglob("*.json")):
        assert time.monotonic() < end, words
        time.sleep(0.05)


def test_edits_survive_a_kill_and_the_lab_reopens_where_it_was(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps:\n- train: {epochs: 3}\n- calibrate: {}\n"
    )
    first = Terminal(tmp_path, (120, 40), str(preset))
    first.ready("to run it")
    os.write(first.file, b"\x1b[B" * (len(SECTIONS) + 1) + b"d")  # removes the last step
    kept(tmp_path, 'draft": "model')
    os.kill(first.pid, signal.SIGKILL)
    assert first.ended(5.0) == -signal.SIGKILL

    again = Terminal(tmp_path, (120, 40))
    again.ready("what was not saved is back", "mine")
    os.write(again.file, place("studies").key.encode())
    again.ready("quickstart-1")
    os.write(again.file, place("curves").key.encode())
    again.ready("accuracy")
    os.write(again.file, b"\x11")
    again.until("Leave now?")
    os.write(again.file, b"y")
    assert again.ended(10.0) == 0

    third = Terminal(tmp_path, (120, 40))
    third.ready("accuracy", "quickstart-1")  # the curves of that study
    os.write(third.file, place("lab").key.encode())  # the preset as it is in its file
    third.until("mine", "calibrate")
    assert third.close() == 0


def test_labs_that_run_keep_what_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    keeper = Keeper(tmp_path / "w")
    keeper.keep(place="curves", draft="steps: []")
    assert Keeper(tmp_path / "w").last() == Remembered()  # it runs: it is this process
    keeper.close()
    keeper.keep(draft="late")
    (file,) = (tmp_path / "secateur" / "labs").iterdir()
    assert '"draft": ""' in file.read_text() and '"place": "curves"' in file.read_text()
    file.write_text(file.read_text().replace('"start_ticks": ', '"start_ticks": 9'))
    assert Keeper(tmp_path / "other").last() == Remembered()
    assert Keeper(tmp_path / "w").last().place == "curves"


async def test_a_lab_begins_at_no_place_that_one_comes_to_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    fabricate.finished(tmp_path / "w")
    app = Lab(None, tmp_path / "w", keeper=Keeper(tmp_path / "w"))
    async with app.run_test() as pilot:
        for name in ("trial", "knob"):
            app.action_go(name)
            await shows(pilot, "Parameters" if name == "trial" else "changed without training")
    (file,) = (tmp_path / "secateur" / "labs").iterdir()
    assert '"place": "trial"' in file.read_text()
