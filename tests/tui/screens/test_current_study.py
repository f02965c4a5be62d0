"""All places are about the current study: none points at another one, or goes on showing what was read of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.store.files import CLASSES, write_json
from engine.testing import folders as fabricate
from tests.engine.results.test_classes import NOW
from tests.tui.screens.test_screens import shows
from tui.app import Lab
from tui.widgets.table import Table


def with_two(workspace: Path, place: str, current: str) -> Lab:
    """A lab at a place, on the current one of two studies that are done: `one-1` and `two-1`."""
    for name in ("one", "two"):
        fabricate.finished(workspace, name)
    app = Lab(None, workspace, place)
    app.session.show(current)
    return app


async def test_a_study_started_elsewhere_in_the_lab_is_the_one_that_the_list_points_at(
    tmp_path: Path,
) -> None:
    """The list was left with the cursor on another study, and has not heard of the new one when it is shown again."""
    fabricate.finished(tmp_path, "alpha")
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 study", "alpha-1 done 14/14")
        await pilot.press("4")
        await shows(pilot, "y accuracy", "alpha-1 done")
        fabricate.finished(tmp_path, "beta")
        app.session.show("beta-1")
        await pilot.press("3")
        assert app.screen.pointed() == "beta-1", "whatever is listed yet"
        await shows(pilot, "2 studies", "beta-1 done 14/14")
        assert app.screen.query_one(Table).key == "beta-1"
        await pilot.press("down")
        await shows(pilot, "alpha-1 done 14/14")
        assert app.screen.pointed() == "alpha-1"


async def test_a_current_study_that_the_filter_hides_is_not_pointed_at(tmp_path: Path) -> None:
    """What is told and done below the list is of the row that the cursor stands on."""
    fabricate.finished(tmp_path, "alpha")
    fabricate.finished(tmp_path, "beta")
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "2 studies")
        await pilot.press("slash", *"alpha", "enter")
        await shows(pilot, "1 of 2", "alpha-1 done 14/14")
        await pilot.press("4")
        await shows(pilot, "y accuracy", "alpha-1 done")
        app.session.show("beta-1")
        await pilot.press("3")
        await shows(pilot, "1 of 2", "alpha-1 done 14/14")
        assert app.screen.pointed() == "alpha-1"


async def test_a_trial_shows_no_classes_of_another_study(tmp_path: Path) -> None:
    first, other = fabricate.finished(tmp_path, "alpha"), fabricate.finished(tmp_path, "beta")
    measured = first.state.trials[0].measure.key
    assert other.state.trials[0].measure.key != measured
    write_json(first.run.store().folder(measured) / CLASSES, NOW)
    app = Lab(None, tmp_path, "trial")
    app.session.study, app.session.trial = "alpha-1", 0
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "alpha-1  trial 0", "Taken for")
        app.session.study = "beta-1"
        await pilot.press("7", "5")
        text = await shows(pilot, "beta-1  trial 0", "difference")
        assert "Taken for" not in text


async def test_an_empty_log_shows_none_of_another_study_or_file(tmp_path: Path) -> None:
    fabricate.finished(tmp_path, "alpha")
    fabricate.Study(tmp_path, "beta").start()
    app = Lab(None, tmp_path, "log")
    app.session.study = "alpha-1"
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "study done")
        await pilot.press("e")
        await shows(pilot, "engine: started")
        app.session.study = "beta-1"
        await pilot.press("5", "7")
        text = await shows(pilot, "beta-1 (running)  engine log", "Nothing yet.")
        assert "engine: started" not in text


async def test_a_study_that_waits_trains_nothing(tmp_path: Path) -> None:
    run = fabricate.Study(tmp_path, "alpha").start().run
    run.events.write_bytes(b"")
    run.write_status(replace(run.stored_status(), state="queued", waits="for its turn"))
    app = Lab(None, tmp_path, "run")
    app.session.show("alpha-1")
    async with app.run_test(size=(120, 40)) as pilot:
        text = await shows(pilot, "alpha-1", "the study waits for its turn")
        assert "first epoch" not in text


async def test_a_zoom_is_of_the_study_that_was_looked_at(tmp_path: Path) -> None:
    app = with_two(tmp_path, "curves", "one-1")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "one-1 done", "◆ global")
        await pilot.press("z")
        await shows(pilot, "[zoomed: 0 shows all]")
        app.session.show("two-1")
        await pilot.press("3", "4")
        text = await shows(pilot, "two-1 done", "◆ global")
        assert "zoomed" not in text


async def test_a_trial_of_another_study_is_read_from_its_beginning(tmp_path: Path) -> None:
    app = with_two(tmp_path, "trial", "one-1")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "one-1  trial 9")
        await pilot.press("G", "right")
        text = await shows(pilot, "Environment", "threads of a trial")
        assert "memory_bytes" not in text and "packages." not in text
        assert "trial 10" not in text, "among the trials of a study one goes on reading at the same place"
        app.session.show("two-1")
        await pilot.press("3", "5")
        await shows(pilot, "two-1  trial 9")


@pytest.mark.parametrize("place", ["run", "trial"])
async def test_that_there_is_no_study_is_not_said_while_one_is_read(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, place)
    monkeypatch.setattr(app.session.watcher, "subscribe", lambda *_: None)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "No study yet" not in await shows(pilot, "commands")


async def test_a_question_over_the_list_leaves_the_cursor_where_it_is(tmp_path: Path) -> None:
    app = with_two(tmp_path, "studies", "two-1")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "› two-1", "one-1")
        await pilot.press("down" if app.screen.query_one(Table).rows[0].key == "two-1" else "up")
        await shows(pilot, "› one-1")
        await pilot.press("d")
        await shows(pilot, "Delete one-1?")
        await pilot.press("enter")  # the focus is on keeping
        await shows(pilot, "› one-1")
        await pilot.press("d")
        await shows(pilot, "Delete one-1?")
