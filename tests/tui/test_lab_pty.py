"""Keys that arrive in one packet land where they should: Pilot sends them one by one and would not show it."""

import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pseudo_terminal
import pytest
import yaml

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
- train: {epochs: 3, learning_rate: 0.1}
- prune.weights: {sparsity: 0.8}
"""
DOWN, TAB, BACKSPACE, CTRL_U, CTRL_S, F9 = b"\x1b[B", b"\t", b"\x7f", b"\x15", b"\x13", b"\x1b[20~"
TO_TRAIN, TO_PRUNE = DOWN * 6, DOWN * 7
WITHIN_S = 20.0
"""Plenty even where all processors are busy; a test waits no longer than it must."""
ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """The lab in a pseudo-terminal of 80x24."""

    def __init__(self, preset: Path, workspace: Path) -> None:
        self.preset = preset
        self.output = b""
        environment = os.environ | {
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(workspace),
        }
        environment.pop("NO_COLOR", None)
        command = [sys.executable, "-m", "tui", str(preset), "--workspace", str(workspace)]
        self.process, self.fd = pseudo_terminal.start(command, preset.parent, environment)

    def wait_for(self, words: bytes) -> None:
        """Read until `words` were painted since the last look."""
        deadline = time.monotonic() + WITHIN_S
        seen = b""
        while words not in seen:
            assert time.monotonic() < deadline, f"{words!r} was not painted; painted: {seen[-2000:]!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 65536)

    def burst(self, *keys: bytes) -> None:
        """All keys in one write."""
        os.write(self.fd, b"".join(keys))

    def saved(self) -> dict[str, object]:
        """The preset once it has been written anew."""
        deadline = time.monotonic() + WITHIN_S
        while (text := self.preset.read_text()) == PRESET:
            assert time.monotonic() < deadline, "nothing was saved"
            if select.select([self.fd], [], [], 0.05)[0]:
                os.read(self.fd, 65536)
        steps: dict[str, object] = {}
        for step in yaml.safe_load(text)["steps"]:
            steps |= step
        return steps

    def close(self) -> None:
        self.process.kill()
        os.close(self.fd)
        self.process.wait()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    preset = tmp_path / "mine.yaml"
    preset.write_text(PRESET)
    opened = Terminal(preset, tmp_path / "workspace")
    opened.wait_for(b"to run it")
    yield opened
    opened.close()


def test_backspace_and_a_digit(terminal: Terminal) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2)
    terminal.wait_for(b"Share of")
    terminal.burst(BACKSPACE, b"9", CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.9}


def test_a_digit_tab_and_a_digit(terminal: Terminal) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.wait_for(b"Passes over")
    terminal.burst(b"1", TAB, b"2", CTRL_S)
    assert terminal.saved()["train"] == {"epochs": 31, "learning_rate": 0.12}


def test_clear_type_and_leave_the_field(terminal: Terminal) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2)
    terminal.wait_for(b"Share of")
    terminal.burst(CTRL_U, b"0.5", TAB, CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.5}


def test_everything_from_the_outline_on_in_one_packet(terminal: Terminal) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2, CTRL_U, b"0.25, 0.5", DOWN * 2, b"\x1b[C", CTRL_S)
    saved = terminal.saved()
    assert saved["prune.weights"] == {"schedule": "linear"}
    assert yaml.safe_load(terminal.preset.read_text())["sweep"] == {"prune.weights.sparsity": [0.25, 0.5]}


def test_the_run_key_right_behind_a_digit_shows_the_new_value(terminal: Terminal) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.wait_for(b"Passes over")
    terminal.burst(CTRL_U, b"77", F9)
    terminal.wait_for(b"epochs         77")
