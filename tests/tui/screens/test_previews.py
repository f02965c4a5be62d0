"""Lists to choose from tell more of the choice under the cursor, and no key waits for it."""

import threading
from pathlib import Path

import pytest
from textual.app import App

from engine.params.networks import NETWORKS
from engine.plotting.figure import Figure, Point, Series
from engine.testing import folders
from engine.text.numbers import count
from tests.tui.screens.test_screens import shows, until
from tui import themes
from tui.app import Lab
from tui.patches import letters
from tui.widgets.pager import Builder
from tui.widgets.picker import Choice, Picker
from tui.widgets.plot import drawn
from tui.widgets.table import Table

SIZES = [(80, 24), (120, 40)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_model_tells_its_size_its_work_and_its_input(tmp_path: Path, size: tuple[int, int]) -> None:
    async with Lab(None, tmp_path, "lab").run_test(size=size) as pilot:
        await shows(pilot, "quickstart")
        await pilot.press("m", *"mbv3s")
        known = NETWORKS["torchvision/mobilenet_v3_small"]
        await shows(
            pilot,
            f"{count(known.parameters)} parameters",
            f"{count(known.macs)} MACs",
            "224×224",
            f"{known.top1:.2f} %",
        )


@pytest.mark.parametrize("size", SIZES)
async def test_a_step_tells_what_it_is_for(tmp_path: Path, size: tuple[int, int]) -> None:
    async with Lab(None, tmp_path, "lab").run_test(size=size) as pilot:
        await shows(pilot, "quickstart")
        await pilot.press("a", *"calib")
        await shows(
            pilot, "calibrate, a step of repair", "BatchNorm layer anew", "Needs a trained model before it."
        )


async def test_a_preset_tells_its_trials_its_time_and_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = folders.PRESET.replace("criterion: l1", "criterion: l3")
    assert preset != folders.PRESET
    (tmp_path / "wrong.yaml").write_text(preset)
    async with Lab(None, tmp_path, "lab").run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart")
        await pilot.press("ctrl+o", *"quickst")
        await shows(
            pilot, "14 trials, time unknown until the first run", "resnet20 on digits", "→ prune.weights"
        )
        await pilot.press("ctrl+u", *"wrong")
        await shows(pilot, "given 'l3'")


async def test_a_study_tells_its_curve_and_its_pick(tmp_path: Path) -> None:
    folders.finished(tmp_path, "one")
    folders.finished(tmp_path, "two")
    async with Lab(None, tmp_path, "curves").run_test(size=(120, 40)) as pilot:
        await shows(pilot, "baseline")
        await pilot.press("o")
        await shows(pilot, "Lay over", "★ pick", "* trial")


class Asking(App[None]):
    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS


async def test_keys_do_not_wait_for_a_preview() -> None:
    """The first preview hangs; the cursor moves on, and what it comes to rest on is shown."""
    entered, go_on = threading.Event(), threading.Event()

    def preview(key: str) -> Builder:
        if key == "a":
            entered.set()
            go_on.wait(30)
        return lambda width: [[(f"about {key}", "")]]

    picker = Picker("Which?", [Choice(key, key) for key in "abc"], preview=preview)
    async with Asking().run_test(size=(120, 40)) as pilot:
        await pilot.app.push_screen(picker)
        await until(pilot, entered.is_set)
        await pilot.press("down", "down")
        assert picker.query_one(Table).key == "c"
        await shows(pilot, "about c")
        go_on.set()
        await pilot.press("up")
        await shows(pilot, "about b")


def test_a_curve_is_drawn_in_the_letters_that_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translated afterwards, dots of one cell would all be the same sign."""
    monkeypatch.setattr(letters, "ON", True)
    points = tuple(Point(float(x), x / 10) for x in range(8))
    lines = drawn(Figure(series=(Series("accuracy", points),)), 60, 9)
    assert all(text.isascii() for line in lines for text, _ in line)
