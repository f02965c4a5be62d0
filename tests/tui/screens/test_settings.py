"""The user's settings in the lab: keys, columns, the pick's threshold, and what is wrong in them."""

from pathlib import Path

import pytest

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import painted, shows
from tui.app import Lab
from tui.keys.action import PLACES, place
from tui.widgets.chrome import PlaceBar
from tui.widgets.keyinput import KeyInput
from tui.widgets.plot import Plot
from tui.widgets.table import Table


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config" / "secateur" / "config.yaml"
    file.parent.mkdir(parents=True)
    return file


async def test_keys_columns_and_the_threshold(tmp_path: Path, config: Path) -> None:
    fabricate.finished(tmp_path / "w")
    config.write_text("columns: [study, pick]\nkeys: {studies.report: ctrl+r}\nwithin: 5\n")
    app = Lab(None, tmp_path / "w", "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        text = await shows(pilot, "quickstart-1", "#11")
        assert "resnet20" not in text
        await pilot.press("R")
        await pilot.pause()
        assert "Write a report" not in painted(app)
        await pilot.press("ctrl+r")
        await shows(pilot, "Write a report on quickstart-1")
        await pilot.press("escape", "percent_sign")
        await shows(pilot, "may lose")
        app.screen.query_one(KeyInput).value = "1"
        await pilot.press("enter")
        await shows(pilot, "#9 ", "picks lose at most 1 point")
        await pilot.press("question_mark")
        await shows(pilot, "^r", "Write a report")


async def test_wrong_settings_are_told_and_the_lab_opens(tmp_path: Path, config: Path) -> None:
    config.write_text("theme: pink\nkeys: {studies.reprt: x}\n")
    app = Lab(None, tmp_path / "w", "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "Your settings are not valid", "given 'pink'", "no action studies.reprt")
        await pilot.press("enter")
        await shows(pilot, "No studies in")


async def test_the_mouse_goes_where_keys_go(tmp_path: Path, config: Path) -> None:
    for name in ("one", "two"):
        fabricate.finished(tmp_path / "w", name)
    app = Lab(None, tmp_path / "w", "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "› two-1", "one-1")
        await pilot.click(Table, offset=(5, 2))
        await shows(pilot, "› one-1")
        await pilot.click(Table, offset=(5, 2), times=2)
        await shows(pilot, "one-1 done", "prune.weights.sparsity")
        await pilot.click(Plot, offset=(40, 5))
        await shows(pilot, "one-1 trial")
        before = PLACES[: PLACES.index(place("studies"))]
        await pilot.click(PlaceBar, offset=(sum(len(f" {p.key} {p.label} ") for p in before) + 2, 0))
        await shows(pilot, "2 studies")
