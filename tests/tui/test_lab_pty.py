"""Keys that arrive in one packet land where they should: Pilot sends them one by one and would not show it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.tui.screens.test_lab import row_of
from tests.tui.terminal import Terminal
from tui.lab.fields import SECTIONS

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
- train: {epochs: 3, learning_rate: 0.1}
- prune.weights: {sparsity: 0.8}
"""
DOWN, TAB, ENTER, BACKSPACE = b"\x1b[B", b"\t", b"\r", b"\x7f"
CTRL_U, CTRL_S, F9, RIGHT, END = b"\x15", b"\x13", b"\x1b[20~", b"\x1b[C", b"\x1b[F"
TO_TRAIN, TO_PRUNE = DOWN * len(SECTIONS), DOWN * (len(SECTIONS) + 1)
SPARSITY, SCHEDULE = row_of("sparsity"), row_of("schedule")
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
    terminal.burst(TO_PRUNE, TAB, DOWN * SPARSITY)
    terminal.sees("Share of")
    terminal.burst(ENTER, END, BACKSPACE, b"9", ENTER, CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.9}


def test_a_digit_tab_and_a_digit(terminal: Typed) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.sees("Passes over")
    terminal.burst(ENTER, b"1", TAB, b"2", CTRL_S)
    assert terminal.saved()["train"] == {"epochs": 1, "learning_rate": 2}


def test_what_is_typed_replaces_the_value_and_leaves_the_field(terminal: Typed) -> None:
    terminal.burst(TO_PRUNE, TAB, DOWN * SPARSITY)
    terminal.sees("Share of")
    terminal.burst(ENTER, b"0.5", TAB, CTRL_S)
    assert terminal.saved()["prune.weights"] == {"sparsity": 0.5}


def test_everything_from_the_outline_on_in_one_packet(terminal: Typed) -> None:
    terminal.burst(
        TO_PRUNE, TAB, DOWN * SPARSITY, ENTER, b"0.25, 0.5", DOWN * (SCHEDULE - SPARSITY), RIGHT, CTRL_S
    )
    saved = terminal.saved()
    assert saved["prune.weights"] == {"schedule": "linear"}
    assert yaml.safe_load(terminal.preset.read_text())["sweep"] == {"prune.weights.sparsity": [0.25, 0.5]}


def test_the_run_key_right_behind_a_digit_shows_the_new_value(terminal: Typed) -> None:
    terminal.burst(TO_TRAIN, TAB)
    terminal.sees("Passes over")
    terminal.burst(ENTER, b"77", F9)
    terminal.sees("epochs         77")


KINDS = {
    "a whole number": (TO_TRAIN, 0),
    "a number": (TO_TRAIN, 1),
    "a choice": (TO_TRAIN, 2),
    "true or false": (TO_TRAIN, 12),
    "a text or null": (TO_PRUNE, 3),
    "a list of texts": (TO_PRUNE, 5),
    "a group that is on or off": (DOWN * 3, 0),
    "a model": (b"", 0),
}
"""Where a field of each kind is: keys to its form, and how many fields below the first."""


def test_typing_into_no_kind_of_field_changes_it_unless_it_is_entered(terminal: Typed) -> None:
    for to, row in KINDS.values():
        terminal.burst(b"\x1b", b"\x1b[H", to, TAB, DOWN * row, b"xr abcdlhkj -.,:sum")
    terminal.burst(b"\x1b", b"\x1b[H", TO_TRAIN, TAB, ENTER, b"4", ENTER, CTRL_S)
    saved = terminal.saved()
    assert saved == {"train": {"epochs": 4, "learning_rate": 0.1}, "prune.weights": {"sparsity": 0.8}}
    assert yaml.safe_load(terminal.preset.read_text())["model"] == {"name": "resnet20"}
