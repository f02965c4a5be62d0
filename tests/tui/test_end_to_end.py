"""The whole way in a real terminal (tmux), by keyboard alone: edit, run, leave, come back, replay."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.studies.rundir import RunDir, studies
from tests.study_lab import warm_variables
from tests.tui.screens.test_lab import row_of
from tui.lab.fields import SECTIONS

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 120.0
"""Plenty for a study of four trials even where all processors are busy; a test waits no longer than it must."""
LOOK_S = 0.05
SOCKETS = itertools.count()


class Tmux:
    """A terminal of tmux on a socket of its own, with a shell in which the lab is started."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self.folder, self.size = folder, size
        self.command: list[str] = []
        self.workspace = folder / "workspace"
        self.processes = {"PYTHONPATH": str(ROOT)}

    def warm(self) -> None:
        """Have workers forked from the tests' server, rather than from one that each study starts."""
        self.processes = warm_variables()

    def tmux(self, *arguments: str, check: bool = True) -> str:
        return subprocess.run(
            [*self.command, *arguments], check=check, capture_output=True, text=True, timeout=WITHIN_S
        ).stdout

    def open(self) -> None:
        """Open the lab in a new terminal; its exit code is shown when it ends."""
        # Each on a socket of its own: one that was just killed may not have let go of its own yet.
        self.command = ["tmux", "-L", f"secateur-{os.getpid()}-{next(SOCKETS)}", "-f", "/dev/null"]
        settings = {
            **self.processes,
            "SECATEUR_LOCKS": str(self.folder / "locks"),
            "SECATEUR_HOME": str(self.workspace),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        lab = [
            *["env", "-u", "NO_COLOR", "-u", "COLUMNS", "-u", "LINES"],
            *(f"{k}={v}" for k, v in settings.items()),
            sys.executable,
            "-m",
            "tui",
        ]
        width, height = map(str, self.size)
        line = f"{shlex.join(lab)}; echo exit code $?; exec sleep {WITHIN_S:.0f}"
        self.tmux("new-session", "-d", "-x", width, "-y", height, "-c", str(self.folder), line)
        self.sees("quickstart")

    def sees(self, *words: str) -> str:
        """The screen, once all words are on it."""

        def missing() -> list[str]:
            screen = self.screen()
            return [word for word in words if word not in screen]

        within(lambda: not missing(), lambda: f"{missing()} not in\n{self.screen()}")
        return self.screen()

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """One key at a time, each once the screen shows the one before or stays as it is."""
        for key in keys:
            before = self.screen()
            self.tmux("send-keys", key)
            end = time.monotonic() + 0.5
            while self.screen() == before and time.monotonic() < end:
                time.sleep(LOOK_S)

    def kill(self) -> None:
        if self.command:
            self.tmux("kill-server", check=False)

    def study(self, name: str) -> RunDir:
        return RunDir.of(self.workspace, name)


def within(true: Callable[[], bool], told: Callable[[], str]) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, told()
        time.sleep(LOOK_S)


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tmux]:
    opened = Tmux(tmp_path, request.param)
    try:
        yield opened
    finally:
        opened.kill()
        for run in studies(opened.workspace):
            run.stop.touch()
            within(lambda run=run: run.read_status().state != "running", lambda: "an engine does not stop")  # type: ignore[misc]


def make_small(terminal: Tmux) -> None:
    """From the start: no latency, one epoch, and two sparsities: 4 trials of about a second."""
    terminal.press("Down", "Down", "Down")
    terminal.sees("What to measure")
    terminal.press("Tab", "Enter")
    terminal.sees("what it means")
    terminal.press("Up", "Enter")
    terminal.sees("‹ off ›")
    terminal.press("Escape", *["Down"] * (len(SECTIONS) - SECTIONS.index("measure")), "Tab")
    terminal.sees("Passes over")
    terminal.press("Enter", "1", "Enter", "Escape", "Down", "Tab", *["Down"] * row_of("sparsity"))
    terminal.sees("Share of")
    terminal.press("Enter", *"0,")
    terminal.press("Space", *"0.8", "Enter")
    terminal.sees("4 trials")


def make_smaller(terminal: Tmux) -> None:
    """From the start: a third of the images; and back there."""
    terminal.press("Down", "Tab", *["Down"] * row_of("limit", "data"))
    terminal.sees("Use only this many")
    terminal.press("Enter", *"400", "Enter", "Escape", "Up")


def run(terminal: Tmux) -> None:
    """Run the preset as it is, and see that it was taken; what it does may pass between two looks."""
    terminal.press("F9")
    terminal.sees("Enter start it", "0, 0.8")
    terminal.press("Enter")
    terminal.sees("quickstart-1", "of 4 trials")


@pytest.mark.long
@pytest.mark.parametrize("terminal", [(80, 24)], indirect=True)
def test_from_nothing_to_a_replay(terminal: Tmux) -> None:
    terminal.warm()
    terminal.open()
    make_smaller(terminal)
    make_small(terminal)
    run(terminal)
    terminal.press("F4")
    terminal.sees("● local", "accuracy")
    terminal.press("C-q")
    terminal.sees("not saved")
    terminal.press("y")
    terminal.sees("exit code 0")
    terminal.kill()

    terminal.open()
    terminal.sees("quickstart-1")
    terminal.press("F3")
    terminal.sees("quickstart-1", "done", "4/4")
    terminal.press("p")
    terminal.sees("Replay quickstart-1?")
    terminal.press("y")
    terminal.sees("done, identical")
    terminal.press("q")
    terminal.sees("exit code 0")


@pytest.mark.long
@pytest.mark.parametrize("terminal", [(120, 40)], indirect=True)
def test_a_study_outlives_its_terminal(terminal: Tmux) -> None:
    terminal.open()
    make_smaller(terminal)
    make_small(terminal)
    run(terminal)
    study = terminal.study("quickstart-1")
    assert study.read_status().state == "running"
    terminal.kill()
    within(lambda: study.read_status().state != "running", lambda: "the study does not end")
    assert study.read_status().state == "done"
    assert study.read_status().done == 4
    terminal.open()
    terminal.press("4")
    terminal.sees("quickstart-1 done 4/4", "● local", "◆ global")
