"""The app moves between the places of one table, and carries out what screens ask for."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.testing import folders as fabricate
from tests.fresh import printed
from tests.tui.screens.test_screens import shows, until
from tui.app import Lab
from tui.keys.action import PLACES, Place
from tui.screens.base import BaseScreen
from tui.screens.lab import LabScreen
from tui.work.watch import Watcher


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_every_place_opens_by_its_key_with_the_class_of_its_row(tmp_path: Path, place: Place) -> None:
    fabricate.finished(tmp_path)
    elsewhere = next(row.name for row in PLACES if row != place)
    app = Lab(None, tmp_path, elsewhere)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1 done 14/14")
        for key in (place.key, f"f{place.key}"):
            if place.key:
                await pilot.press(key)
            else:
                app.action_go(place.name)
            await until(pilot, lambda: app.current_mode == place.name)
            screen = app.screen
            assert isinstance(screen, BaseScreen)
            assert f"{type(screen).__module__}:{type(screen).__qualname__}" == place.screen
            assert (screen.WHERE, screen.session) == (place.name, app.session)
            await shows(pilot, "quickstart-1 done 14/14")
            app.action_go(elsewhere)
            await until(pilot, lambda: app.current_mode == elsewhere)
    assert not app.return_code


async def test_an_error_in_the_thread_that_follows_studies_ends_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(watcher: Watcher) -> None:
        raise RuntimeError("a fault in what reads studies")

    monkeypatch.setattr(Watcher, "look_now", broken)
    app = Lab(None, tmp_path, "studies")
    with pytest.raises(RuntimeError, match="a fault in what reads studies"):
        async with app.run_test() as pilot:
            await until(pilot, lambda: not app.is_running)
    assert app.return_code == 1


def test_a_place_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no place nowhere") as raised:
        Lab(None, tmp_path, "nowhere")
    assert all(place.name in raised.value.remedy for place in PLACES)


def test_places_are_imported_when_they_are_shown() -> None:
    code = "import sys, tui.app; print(*sorted(sys.modules))"
    assert not {place.screen.partition(":")[0] for place in PLACES} & set(printed(code).split())


@pytest.mark.parametrize(
    ("places", "late"),
    [
        (PLACES, ("engine.runner.launch", "multiprocessing", "pydantic.plugin._loader")),
        (
            PLACES[
                :1
            ],  # the form: nothing that reads studies, draws them or knows of steps that the preset has not
            (
                *("engine.studies.state", "engine.results.estimates", "engine.presets.spec"),
                *("engine.plotting.figure", "engine.params.distillation"),
            ),
        ),
    ],
    ids=["every place", "the lab"],
)
def test_the_first_frame_does_without_what_comes_later(places: Sequence[Place], late: Sequence[str]) -> None:
    shown = ", ".join(place.screen.partition(":")[0] for place in places)
    code = f"import sys, tui.app, {shown}; print(*[name for name in {late} if name in sys.modules])"
    assert printed(code).split() == []


@pytest.mark.parametrize("first", ["studies", "lab"])
async def test_a_study_s_preset_opens_in_the_lab_as_a_new_one(tmp_path: Path, first: str) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, first)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1 done 14/14")
        app.action_go("studies")
        await shows(pilot, "1 study", "quickstart-1")
        await pilot.press("e")
        await until(pilot, lambda: app.current_mode == "lab")
        await shows(pilot, "not saved")
        assert isinstance(app.screen, LabScreen)
        assert (app.screen.document.name, app.screen.document.path) == ("quickstart", None)
        app.action_go("studies")
        await until(pilot, lambda: app.current_mode == "studies")
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "lab")


async def test_a_preset_that_can_not_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    app = Lab(tmp_path / "gone.yaml", tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "gone.yaml", "Enter close")
        await pilot.press("enter")
        await shows(pilot, "not saved", "commands")
    assert not app.return_code


async def test_what_is_said_while_a_question_is_open_is_read_after_it(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1 done 14/14")
        await pilot.press("d")
        await shows(pilot, "Delete quickstart-1?")
        await pilot.press("ctrl+c", "n")
        await until(pilot, lambda: app.screen is app.here)
        await shows(pilot, "^q leaves")
