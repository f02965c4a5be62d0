"""Keys that arrive in one packet land where they should: Pilot sends them one by one and would not show it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.tui.terminal import Terminal

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


class Typed(Terminal):
    """The lab with a preset open, in a terminal of 80x24, typed into faster than it paints."""

    def __init__(self, preset: Path, workspace: Path) -> None:
        super().__init__(workspace, (80, 24), str(preset))
        self.preset = preset

    def sees(self, words: str) -> None:
        """Wait until `words` were painted since the last look."""
        self.until(words, seconds=WITHIN_S)

    def burst(self, *keys: bytes) -> None:
        """All keys in one write."""
        os.write(self.file, b"".join(keys))

    def saved(self) -> dict[str, object]:
        """The preset once it has been written anew."""
        deadline = time.monotonic() + WITHIN_S
        while (text := self.preset.read_text()) == PRESET:
            assert time.monotonic() < deadline, "nothing was saved"
            self.read(0.05)
        steps: dict[str, object] = {}
        for step in yaml.safe_load(text)["steps"]:
            steps |= step
        return steps


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Typed]:
    preset = tmp_path / "mine.yaml"
    preset.write_text(PRESET)
    opened = Typed(preset, tmp_path / "workspace")
    try:
        opened.sees("to run it")
        yield opened
    finally:
        opened.kill()


def test_backspace_and_a_digit(terminal: Typed) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2)
    terminal.sees("Share of")
    terminal.burst(BACKSPACE, b"9", CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.9}


def test_a_digit_tab_and_a_digit(terminal: Typed) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.sees("Passes over")
    terminal.burst(b"1", TAB, b"2", CTRL_S)
    assert terminal.saved()["train"] == {"epochs": 31, "learning_rate": 0.12}


def test_clear_type_and_leave_the_field(terminal: Typed) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2)
    terminal.sees("Share of")
    terminal.burst(CTRL_U, b"0.5", TAB, CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.5}


def test_everything_from_the_outline_on_in_one_packet(terminal: Typed) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * 2, CTRL_U, b"0.25, 0.5", DOWN * 2, b"\x1b[C", CTRL_S)
    saved = terminal.saved()
    assert saved["prune.weights"] == {"schedule": "linear"}
    assert yaml.safe_load(terminal.preset.read_text())["sweep"] == {"prune.weights.sparsity": [0.25, 0.5]}


def test_the_run_key_right_behind_a_digit_shows_the_new_value(terminal: Typed) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.sees("Passes over")
    terminal.burst(CTRL_U, b"77", F9)
    terminal.sees("epochs         77")
