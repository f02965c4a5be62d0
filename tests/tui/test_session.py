"""A screen lives on what it is given, its session, and asks for the rest by messages: it knows no app."""

import shutil
from pathlib import Path
from pkgutil import resolve_name

import pytest
from textual.app import App
from textual.message import Message
from textual.pilot import Pilot

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows, until
from tui import themes
from tui.keys.action import PLACES, Place, place
from tui.screens.base import BaseScreen
from tui.session import Back, Failed, Go, Session, Tell


class Host(App[None]):
    """An app of its own that shows one place, and keeps what that asks for."""

    def __init__(self, row: Place, session: Session) -> None:
        super().__init__()
        self.session = session
        self.asked: list[Message] = []
        self._first: BaseScreen = resolve_name(row.screen)(session)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS

    def on_mount(self) -> None:
        self.session.watcher.start()
        self.push_screen(self._first)

    def on_unmount(self) -> None:
        self.session.watcher.stop()

    def on_go(self, message: Go) -> None:
        self.asked.append(message)

    def on_back(self, message: Back) -> None:
        self.asked.append(message)

    def on_tell(self, message: Tell) -> None:
        self.asked.append(message)

    def on_failed(self, message: Failed) -> None:
        self.asked.append(message)


async def asked(pilot: Pilot[None], *keys: str) -> Message:
    """What the place asks for after these keys."""
    app = pilot.app
    assert isinstance(app, Host)
    app.asked.clear()
    await pilot.press(*keys)
    await until(pilot, lambda: bool(app.asked))
    (message,) = app.asked
    return message


@pytest.mark.parametrize("row", PLACES, ids=lambda row: row.name)
async def test_a_place_is_shown_with_a_session_alone(tmp_path: Path, row: Place) -> None:
    fabricate.finished(tmp_path)
    app = Host(row, Session.at(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(
            pilot, "quickstart-1 done 14/14", f" {row.key} {row.label} ".replace("  ", " "), "commands"
        )
    assert not app.return_code


async def test_the_list_makes_a_study_current_and_asks_for_its_curves(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        fabricate.finished(tmp_path, name)
    session = Session.at(tmp_path)
    app = Host(place("studies"), session)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "beta-1 done 14/14", "2 studies")
        message = await asked(pilot, "down", "enter")
        assert isinstance(message, Go)
        assert (message.place, session.study) == ("curves", "alpha-1")
        message = await asked(pilot, "e")
        assert isinstance(message, Go)
        assert (message.place, session.preset) == ("lab", session.run("alpha-1").preset)
        message = await asked(pilot, "r")
        assert isinstance(message, Tell)
        assert "Not possible: alpha-1 is done" in message.text
        assert isinstance(await asked(pilot, "escape"), Back)


async def test_errors_and_trials_are_asked_for_too(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    session = Session.at(tmp_path)
    app = Host(place("curves"), session)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◆ global")
        message = await asked(pilot, "right", "right", "l", "enter")
        assert isinstance(message, Go)
        assert (message.place, session.study, session.trial) == ("trial", "quickstart-1", 2)
        await pilot.press("w")
        await shows(pilot, "Write the chart to")
        message = await asked(pilot, "ctrl+u", *"/nowhere/at/all.svg", "enter")
        assert isinstance(message, Failed)
        assert "can't be written" in message.error.title


def test_pages_follow_the_pick_of_a_study_until_a_trial_is_chosen(tmp_path: Path) -> None:
    study, session = fabricate.Study(tmp_path).start(), Session.at(tmp_path)
    session.show("quickstart-1")
    assert session.trial_of(study.state) == 0, "nothing is done yet"
    study.finish()
    assert session.trial_of(study.state) == 9
    session.within = 20.0
    assert session.trial_of(study.state) > 9, "the pick by what is asked for"
    session.trial = 3
    assert session.trial_of(study.state) == 3


def test_another_study_begins_at_its_pick_and_alone(tmp_path: Path) -> None:
    session = Session.at(tmp_path)
    assert session.current() is None
    session.show("a-1")
    session.trial, session.overlay = 3, ["b-1"]
    session.show("a-1")
    assert (session.trial, session.overlay) == (3, ["b-1"])
    session.show("b-1")
    assert (session.study, session.trial, session.overlay) == ("b-1", None, [])


def test_the_newest_study_is_current_until_one_is_chosen(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        fabricate.finished(tmp_path, name)
    session = Session.at(tmp_path)
    assert session.current() == session.study == "beta-1"
    session.show("alpha-1")
    assert session.current() == "alpha-1"


def test_a_preset_is_opened_once(tmp_path: Path) -> None:
    session = Session.at(tmp_path, tmp_path / "p.yaml")
    assert session.take_preset() == tmp_path / "p.yaml"
    assert session.take_preset() is None


def test_a_study_s_settings_are_those_of_its_preset_and_none_where_that_can_not_be_read(
    tmp_path: Path,
) -> None:
    session = Session.at(tmp_path)
    run = fabricate.finished(tmp_path).run
    settings = session.settings(run.name)
    assert settings and settings.plot
    assert (settings.plot.x, settings.plot.by) == ("prune.weights.sparsity", "prune.weights.scope")
    run.kept_settings.unlink()
    assert session.settings(run.name) == settings, "a study from before"
    run.preset.write_text("[")
    assert session.settings(run.name) is None
    assert session.settings("nowhere-1") is None


def test_a_study_that_has_the_name_of_one_that_was_deleted_has_settings_of_its_own(tmp_path: Path) -> None:
    session = Session.at(tmp_path)
    for within in (1.0, 5.0, 5.0):
        study = fabricate.Study(tmp_path, preset=fabricate.PRESET + f"pick: {{within: {within}}}\n").start()
        settings = session.settings_of(study.run.name, study.state)
        assert settings and settings.pick.within == within
        study.run.kept_settings.unlink()
        study.run.preset.write_text("[")
        assert session.settings_of(study.run.name, study.state) is settings, "it is read once"
        shutil.rmtree(study.run.path)
