"""A study that failed, was lost or cancelled: why, and which key goes on, wherever a user looks."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.studies import events as ev
from engine.testing import folders as fabricate
from tests.engine.results.test_guessing import Guessing
from tests.tui.screens.test_screens import SIZES, painted, shows, until
from tui.app import Lab
from tui.screens.lab import LabScreen

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

ERROR = {
    "title": "The model takes 3 channels",
    "detail": "The data have 1 channel",
    "remedy": "Set data.channels",
}


def planned(workspace: Path) -> fabricate.Study:
    """A study that runs, with nothing done yet."""
    study = fabricate.Study(workspace)
    study.emit(
        ev.StudyStarted(
            study=study.run.name, preset="quickstart", host="h", pid=1, environment=fabricate.ENVIRONMENT
        )
    )
    trials = [study._planned(i, *point) for i, point in enumerate(study.points)]
    study.emit(ev.Planned(trials=trials, devices={"device": "cpu", "threads": 2}))
    study.status("running")
    return study


def fail(study: fabricate.Study) -> None:
    """The step that all its trials share fails."""
    study.emit(ev.StepFailed(key=study._key("train"), kind="train", error=ERROR))
    study.emit(ev.StudyFinished(state="failed"))
    study.status("failed", why="14 of 14 trials failed: The model takes 3 channels. Set data.channels")


@pytest.mark.parametrize("size", SIZES)
async def test_the_reason_that_all_trials_share_stands_once_in_every_place(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    fail(planned(tmp_path))
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=size) as pilot:
        text = await shows(pilot, "quickstart-1", "failed", "Set data.channels", "r goes on with it")
        assert text.count("The model takes 3 channels") == 1
        await pilot.press("enter")
        text = await shows(pilot, "14 of 14 trials failed in train", "Set data.channels", "r in Studies (F3)")
        assert text.count("The model takes 3 channels") == 1
        assert "no values yet" not in text
        assert "nothing called" not in text
        await pilot.press("f5")
        text = await shows(pilot, "Trial 0 failed in train", "14 trials", "→ Set data.channels")
        assert text.count("The model takes 3 channels") == 1
        await pilot.press("f1")
        if size[0] < 110:
            await pilot.press("ctrl+l")
        text = await shows(
            pilot, "14 of 14 trials failed", "Set data.channels", "F9 runs the preset as it is"
        )
        assert text.count("The model takes") == 1
        if size[0] < 110:
            await pilot.press("ctrl+l")
            text = await shows(pilot, "! failed", "Set data.channels")
            assert text.count("The model takes") == 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_notice_that_a_study_runs_gives_way_to_how_it_ended(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    study = planned(tmp_path)
    app = Lab(None, tmp_path)
    async with app.run_test(size=size) as pilot:
        screen = await running(pilot, study.run.name)
        screen.say("quickstart-1 runs, also when you leave. ^l: its curve and trials.", "good")
        fail(study)
        how = "quickstart-1 failed: r in Studies (F3) tries them again."
        text = await shows(pilot, how, "The model takes", "Set data.channels")
        assert "also when you leave" not in text
        assert text.count("The model takes") == 1


async def test_the_notice_of_a_study_that_is_done_says_so(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    app = Lab(None, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await running(pilot, study.run.name)
        screen.say("quickstart-1 runs, also when you leave. ^l: its curve and trials.", "good")
        study.finish()
        await shows(pilot, "quickstart-1 is done, 14 of 14 trials. ^l: its curve and trials.")


async def running(pilot: Pilot[None], name: str) -> LabScreen:
    """The lab's screen, once it knows that the study runs."""
    screen = pilot.app.screen
    assert isinstance(screen, LabScreen)
    await until(pilot, lambda: screen.running == name)
    return screen


@pytest.mark.parametrize("place", ["lab", "run", "curves", "trial", "log"])
async def test_a_lost_study_says_since_when_and_which_key_goes_on(tmp_path: Path, place: str) -> None:
    study = planned(tmp_path)
    study.status("running", pid=2**22 + 1)
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=(200, 60)) as pilot:
        key = "r goes on" if place == "run" else "r in Studies (F3) goes on"
        text = await shows(pilot, "Lost: its engine is gone, last heard of 20", key)
        assert "no values yet" not in text


@pytest.mark.parametrize("place", ["lab", "curves", "trial", "layers", "log"])
async def test_a_study_that_failed_before_its_plan_says_why(tmp_path: Path, place: str) -> None:
    study = fabricate.Study(tmp_path)
    study.emit(
        ev.StudyStarted(study=study.run.name, preset="q", host="h", pid=1, environment=fabricate.ENVIRONMENT)
    )
    study.emit(ev.StudyFinished(state="failed", error=ERROR))
    study.status("failed", error=ERROR)
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=(200, 60)) as pilot:
        text = await shows(pilot, "before its trials were planned", "Set data.channels")
        assert text.count("The model takes 3 channels") == 1
        assert "0/0" not in text


async def test_trials_that_failed_for_other_reasons_say_for_which(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    for index in (0, 1, 2):
        study.fail(index)
    other = study._key("finetune", *study.points[3])
    study.emit(ev.StepFailed(key=other, kind="finetune", error=ERROR))
    for index in range(4, 14):
        study.trial(index)
    study.emit(ev.StudyFinished(state="failed"))
    study.status("failed")
    app = Lab(None, tmp_path)
    async with app.run_test(size=(200, 60)) as pilot:
        text = await shows(
            pilot, "4 of 14 trials failed, for 2 reasons", "(1) 3 trials (0-2)", "! failed (2)"
        )
        assert text.count("The worker ran out of memory") == 1
        assert text.count("! failed (1)") == 3
        await pilot.press("f4")
        await shows(pilot, "4 of 14 trials failed", "● local", "all of it: trials 0, 3 in Trial (F5)")
        assert "no values yet" not in painted(app)


async def test_of_a_study_without_a_pick_the_trial_that_failed_is_shown(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    study.trial(0)
    study.fail(1, ERROR)
    study.finish("failed")
    app = Lab(None, tmp_path, "trial")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "trial 1 (0 to 13)", ERROR["title"])


@pytest.mark.parametrize("key", ["f2", "f4"])
async def test_in_place_of_a_pick_stands_that_the_network_never_knew_anything(
    tmp_path: Path, key: str
) -> None:
    Guessing(tmp_path).start().finish()
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=SIZES[-1]) as pilot:
        await shows(pilot, "quickstart-1")
        await pilot.press("enter", key)
        text = await shows(pilot, "no better than guessing from its first step to its last")
        assert "smallest within" not in text
