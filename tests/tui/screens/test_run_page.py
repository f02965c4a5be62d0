"""The page of a study that runs, on a small terminal and on a large one."""

from pathlib import Path

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows
from tui.app import Lab


async def test_a_small_terminal_turns_to_the_studys_curve_once_no_more_is_trained(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, scopes=("local",), sparsities=(0.3, 0.5)).start()
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "trained last: train")
        study.trial(0)
        app.session.watcher.look()
        await shows(pilot, "trained last: finetune 30 %")
        study.finish()
        app.session.watcher.look()
        text = await shows(pilot, "the study's curve", "★")
        assert "trained last" not in text
        await pilot.press("right", "enter")
        await shows(pilot, "y accuracy")


async def test_a_large_one_says_what_was_trained_last(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "the study's curve", "trained last: finetune global 95 %")


async def test_the_footer_names_what_can_be_done_with_the_study_as_it_stands(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, scopes=("local",), sparsities=(0.5,)).start()
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(80, 24)) as pilot:
        text = await shows(pilot, "c cancel")
        assert "start/resume" not in text and "s search" not in text
        study.finish("cancelled")
        app.session.watcher.look()
        text = await shows(pilot, "r start/resume")
        assert "c cancel" not in text
        await pilot.press("c")
        await shows(pilot, "Not possible: quickstart-1 is cancelled")
