"""The page of a study that runs, on a small terminal and on a large one."""

from pathlib import Path

from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows, until
from tui.app import Lab
from tui.screens.run import Steps
from tui.widgets.pager import Pager


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


async def test_the_steps_are_scrolled_to_the_first_and_followed_again(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    for index in range(6):
        study.trial(index)
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "↑ 24 before", "latency local 90 %")
        app.screen.query_one(Steps).focus()
        await pilot.press("up")
        await shows(pilot, "↑ 23 before")
        await pilot.press("home")
        text = await shows(pilot, "✓ train", "✓ prune.weights local 0 %")
        assert "before" not in text
        study.trial(6)
        app.session.watcher.look()
        await shows(pilot, "running 7 of 14", "✓ train")
        await pilot.press("end")
        await shows(pilot, "latency global 95 %")
        for _ in range(60):
            await pilot.press("up")
            if app.screen.query_one(Steps).follow:
                break
        study.trial(7)
        app.session.watcher.look()
        await shows(pilot, "running 8 of 14", "latency global 0 %")


async def test_the_log_is_followed_again_from_its_end(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "measure the baseline")
        log = app.screen.query_one("#log", Pager)
        log.focus()
        await until(pilot, lambda: log.count() > log.size.height)
        await pilot.press("home")
        assert not log.follow
        await pilot.press("end")
        assert log.follow
        study.trial(0)
