"""Key screens as text, compared with what they looked like when somebody last looked at them.

After a wanted change: `UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py`, then read the difference.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.testing import folders as fabricate
from tui.app import Lab

FOLDER = Path(__file__).parent / "snapshots"
WITHIN_S = 20.0
STILL_S = 0.2
"""For so long nothing changes on a screen that is there."""
SCREENS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "curves": ("curves", ("right", "right", "right"), "trial 2"),
    "pareto": ("curves", ("p",), "Pareto front"),
    "training": ("curves", ("t",), "x epoch"),
    "layers": ("layers", ("right",), "(30.0 %)"),
    "help": ("layers", ("question_mark",), "Keys that work here"),
    "palette": ("curves", ("ctrl+p", *"zoom"), "Commands"),
}
"""Where each is, what is pressed there, and a word that is on it."""


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("name", SCREENS)
async def test_it_looks_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    fabricate.finished(tmp_path)
    place, keys, word = SCREENS[name]
    kept = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=size) as pilot:
        await _shown(app, pilot, "done 14/14")
        await pilot.press(*keys)
        if os.environ.get("UPDATE_SNAPSHOTS"):
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(await _shown(app, pilot, word))
        assert await _shown(app, pilot, word, kept.read_text()) == kept.read_text()


async def _shown(app: Lab, pilot: Pilot[Any], word: str, wanted: str | None = None) -> str:
    """The screen once `word` is on it and nothing changes any more, at once if it is as `wanted`."""
    before, since = "", time.monotonic()
    end = since + WITHIN_S
    while (now := time.monotonic()) < end:
        await app.workers.wait_for_complete()
        await pilot.pause()  # until nothing is left to be done
        text = "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()) + "\n"
        if text != before:
            before, since = text, now
        elif word in text and (text == wanted or now - since >= STILL_S):
            return text
    raise AssertionError(f"{word} not in\n{text}")
