"""The palette: what it offers can be reached, from any place."""

from pathlib import Path

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows, until
from tui.app import Lab
from tui.keys.action import PLACES
from tui.widgets.plot import Plot
from tui.widgets.table import Table


async def test_the_palette_reaches_an_action_of_another_screen(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "log")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "latency global 95 % done")
        await pilot.press("ctrl+p")
        await shows(pilot, "Commands")
        await pilot.press(*"training curves", "enter")
        await until(pilot, lambda: app.current_mode == "curves")
        await shows(pilot, "quickstart-1 done", "x epoch")
        await pilot.press("3", "ctrl+p")
        await shows(pilot, "Commands")
        await pilot.press(*"chart zoom in", "enter")
        await until(pilot, lambda: app.current_mode == "curves")
        await until(pilot, lambda: app.screen.query_one(Plot).shown.x_limits is not None)


async def test_the_palette_offers_what_can_be_reached_and_finds_a_list_to_act_on(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "log")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "latency global 95 % done")
        await pilot.press("ctrl+p")
        await shows(pilot, "Commands")
        offered = {row.key.partition(".")[0] for row in app.screen.query_one(Table).rows if row.key}
        assert offered == {"app", "plot", "table", *(place.name for place in PLACES)}
        await pilot.press(*"choose the columns to show", "enter")
        await shows(pilot, "Columns to show")
        assert app.current_mode == "studies"


async def test_the_palette_finds_an_action_by_its_word_in_the_footer(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "trial")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "trial 9")
        for word, found in {
            "export": "Take its model away",
            "compare": "Put it beside another trial",
        }.items():
            await pilot.press("ctrl+p")
            await shows(pilot, "Commands")
            await pilot.press(*word)
            await shows(pilot, f"› Trial {word}: {found}")
            await pilot.press("escape")
