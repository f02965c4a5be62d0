"""Key screens as text, compared with what they looked like when somebody last looked at them.

After a wanted change: `UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py`, then read the difference.
"""

import os
from pathlib import Path

import pytest

from engine.testing import folders as fabricate
from tui.app import Lab

FOLDER = Path(__file__).parent / "snapshots"
SCREENS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "curves": ("curves", ("right", "right", "right"), "trial 2"),
    "pareto": ("curves", ("p",), "Pareto front"),
    "training": ("curves", ("t",), "x epoch"),
    "layers": ("layers", ("right", "right"), "sparsity 0.5"),
    "help": ("layers", ("question_mark",), "Keys that work here"),
    "palette": ("curves", ("ctrl+p", *"zoom"), "Commands"),
}
"""Where each is, what is pressed there, and a word that is on it."""


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("name", SCREENS)
async def test_it_looks_as_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    fabricate.finished(tmp_path)
    place, keys, word = SCREENS[name]
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=size) as pilot:
        await _shown(app, pilot, "done 14/14")
        await pilot.pause(0.3)
        await pilot.press(*keys)
        text = await _shown(app, pilot, word)
    kept = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text)
    assert text == kept.read_text()


async def _shown(app: Lab, pilot: object, word: str) -> str:
    """The screen once `word` is on it and nothing changes any more."""
    before = ""
    for _ in range(100):
        text = "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()) + "\n"
        if word in text and text == before:
            return text
        before = text
        await pilot.pause(0.1)  # type: ignore[attr-defined]
    raise AssertionError(f"{word} not in\n{text}")
