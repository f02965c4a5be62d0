"""The lab shows what the data of a preset are, with a few of their images, and computes none of it itself."""

from pathlib import Path

from tests.tui.screens.test_screens import shows
from tui.app import Lab
from tui.screens.lab_data import DataView
from tui.views import images

LOOKS = 1200
"""A tenth of a second apart: the report comes from a process of its own, perhaps beside other programs."""


def test_images_are_drawn_two_pixels_to_a_character() -> None:
    """Red over blue, then a third line of green with nothing below it."""
    pixels = [b"\xff\0\0" * 2, b"\0\0\xff" * 2, b"\0\xff\0" * 2]
    one = {"label": "flag", "width": 2, "height": 3, "rgb": b"".join(pixels).hex()}
    lines = images.rows([one, one], 6)
    assert list(lines[0])[:2] == [("▀", "#ff0000 on#0000ff")] * 2
    assert list(lines[1])[:2] == [("▀", "#00ff00")] * 2
    assert "".join(text for text, _ in lines[0]) == "▀▀  ▀▀  "
    assert "".join(text for text, _ in lines[2]).startswith("f…")
    assert len(images.rows([one, one], 5)) == 2 * len(images.rows([one], 5))


async def test_a_key_looks_at_the_data(tmp_path: Path) -> None:
    app = Lab(None, tmp_path, "lab")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart")
        await pilot.press("I")
        for _ in range(LOOKS):
            if isinstance(app.screen, DataView):
                break
            await pilot.pause(0.1)
        await shows(pilot, "The preset's data", "▀▀▀▀▀▀▀▀", "digits: classification, 10 classes", "17 levels")
        await pilot.press("escape")
        await shows(pilot, "quickstart")
