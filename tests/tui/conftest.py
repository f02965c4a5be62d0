"""What the tests of the lab share."""

import asyncio
from pathlib import Path

import pytest
from textual import _wait
from textual.pilot import Pilot

from tui.patches.keyorder import KeyOrder

_pressed = Pilot.press
IDLE_S = 0.005
"""How long the lab does nothing before Textual's pilot counts it as idle, twice for each key: a fourth of its own time.
What a key does is waited for by the hops below, and what takes longer by its own condition in each test."""
IDLE_SHARE = 0.05
"""Of the processor's time in it, at most; Textual's own share."""
HANDLED_S = 60.0
"""Plenty for one key to be handled, even where all processors are busy."""


async def _press(self: Pilot[object], *keys: str) -> None:
    """Press one key after another, each once the one before has had its effect.

    A key goes from the app to the widget with the focus, up through its parents to the app again, and only
    then to its action; `Pilot.press` waits for one of these hops and else until the process seems idle,
    which it does too where other programs keep the processors busy. The lab itself knows when a key has had its effect.
    """
    for key in keys:
        await _pressed(self, key)
        focused = self.app.screen.focused if self.app.is_running else None
        hops = len(focused.ancestors_with_self) if focused is not None else 1
        for _ in range(hops + 2):
            if not self.app.is_running:
                return
            await self.pause(0)
        async with asyncio.timeout(HANDLED_S):
            while isinstance(self.app, KeyOrder) and self.app.is_running and self.app.handling:
                await self.pause(0)


@pytest.fixture(autouse=True)
def _keys_have_their_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pilot, "press", _press)
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", IDLE_S)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", IDLE_S * IDLE_SHARE)


@pytest.fixture(autouse=True)
def _no_settings_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests whose lab looks for presets in the current folder, or writes them there."""
    monkeypatch.chdir(tmp_path)
