"""The lab's screens on fabricated studies, at the three sizes that matter."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.studies.rundir import studies
from engine.testing import folders as fabricate
from tui.app import Lab
from tui.screens.curves import CurvesScreen
from tui.widgets.plot import Plot
from tui.widgets.table import Table

SIZES = [(80, 24), (120, 40), (200, 60)]
WAITS = 3000
"""Looks at the screen, 20 ms apart, before it counts as failed: plenty where the processors are busy."""


def painted(app: Lab) -> str:
    """What is on screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def shows(pilot: Pilot[Any], *words: str) -> str:
    """Wait until all words are on screen."""
    for _ in range(WAITS):
        text = painted(pilot.app)  # type: ignore[arg-type]
        if all(word in text for word in words):
            return text
        await pilot.pause(0.02)
    raise AssertionError(f"{[w for w in words if w not in text]} not in\n{text}")


async def until(pilot: Pilot[Any], true: Callable[[], bool]) -> None:
    for _ in range(WAITS):
        if true():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come true")


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until nothing that was begun is left to be done: no worker runs, and no message is being handled."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_every_place_shows_what_it_is_for(tmp_path: Path, size: tuple[int, int]) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=size) as pilot:
        text = await shows(pilot, "quickstart-1", "done", "14/14", "#9 98.03 %", "1.67×")
        await pilot.press("enter")
        await shows(
            pilot, "x prune.weights.sparsity", "y accuracy", "● local", "◆ global", "baseline 98.33 %"
        )
        await pilot.press("5")
        await shows(pilot, "trial 9", "Parameters", "finetune", "this trial", "difference")
        await pilot.press("6")
        await shows(pilot, "layer3.2.conv2", "sparsity", "of 291 k parameter")
        await pilot.press("7")
        await shows(pilot, "latency global 95 % done", "following")
        await pilot.press("question_mark")
        await shows(pilot, "Keys that work here", "Keep the end in view")
        await pilot.press("escape")
        text = await shows(pilot, "commands", "help")
        assert all(len(line) <= size[0] for line in text.splitlines())
    assert not app.return_code


@pytest.mark.parametrize("key", ["2", "4", "f5", "f6", "f7"])
async def test_places_opened_from_the_list_show_the_study_under_its_cursor(tmp_path: Path, key: str) -> None:
    for name in ("alpha", "beta"):
        fabricate.finished(tmp_path, name)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "2 studies", "beta-1 done 14/14")
        await pilot.press("enter")
        await shows(pilot, "y accuracy", "beta-1 done")
        await pilot.press("3", "down")
        await shows(pilot, "2 studies", "alpha-1 done 14/14")
        await pilot.press(key)
        await until(pilot, lambda: app.current_mode != "studies")
        await shows(pilot, "alpha-1 done 14/14")
        assert app.session.study == "alpha-1"


async def test_going_back_from_the_list_leaves_the_study_as_it_was(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        fabricate.finished(tmp_path, name)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "beta-1 done")
        await pilot.press("3")
        await shows(pilot, "2 studies")
        await pilot.press("down", "escape")
        await shows(pilot, "y accuracy", "beta-1 done")


async def test_filter_sort_and_mark(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        fabricate.finished(tmp_path, name)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "gamma-1", "alpha-1", "3 studies")
        table = app.screen.query_one(Table)
        assert [row.key for row in table.rows] == ["gamma-1", "beta-1", "alpha-1"]
        await pilot.press("s")
        assert [row.key for row in table.rows] == ["alpha-1", "beta-1", "gamma-1"]
        await pilot.press("S")
        assert [row.key for row in table.rows] == ["gamma-1", "beta-1", "alpha-1"]
        await pilot.press("space", "space")
        await shows(pilot, "2 marked")
        await pilot.press("/", *"alp")
        await shows(pilot, "1 of 3")
        assert [row.key for row in table.rows] == ["alpha-1"]
        await pilot.press("escape")
        await shows(pilot, "3 studies")


async def test_deleting_asks_first_and_says_how_it_is_undone(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path).run
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "quickstart-1")
        await pilot.press("d")
        await shows(pilot, "Delete quickstart-1?", "14 of 14 trials done", "u takes the last one back")
        await pilot.press("enter")  # the focus is on keeping
        await shows(pilot, "filter")
        assert run.path.exists()
        await pilot.press("d")
        await shows(pilot, "Delete quickstart-1?")
        await pilot.press("y")
        await shows(pilot, "No studies in")
        assert not run.path.exists()


async def test_a_running_study_is_not_deleted_but_asked_to_stop(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "running", "0/14")
        await pilot.press("d")
        await shows(pilot, "cancel it first")
        assert study.run.path.exists()
        await pilot.press("c")
        await shows(pilot, "Stop quickstart-1?", "0 of 14 trials done. What is done stays")
        await pilot.press("enter")
        await shows(pilot, "running")
        assert not study.run.stop.exists()
        await pilot.press("c", "y")
        await shows(pilot, "asked to stop")
        assert study.run.stop.exists()


async def test_a_replay_is_asked_for_before_it_computes_everything_again(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1", "14/14")
        await pilot.press("p")
        await shows(pilot, "Replay quickstart-1?", "Every step of 14 trials is computed again")
        await pilot.press("enter")
        await shows(pilot, "1 study")
        assert [run.name for run in studies(tmp_path)] == ["quickstart-1"]


async def test_that_a_terminal_is_too_small_is_said_as_long_as_it_is(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(60, 18)) as pilot:
        await shows(pilot, "60×18 is too small")
        await pilot.resize_terminal(120, 40)
        await shows(pilot, "? help")
        assert "too small" not in painted(app)


async def test_a_lost_engine_is_shown_as_lost(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    study.status("running", pid=2**22 + 1)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "lost")
        await pilot.press("enter")
        await shows(pilot, "quickstart-1 lost")
        await pilot.press("5")
        await shows(pilot, "Lost: its engine is gone, last heard of")


@pytest.mark.parametrize("place", ["lab", "trial"])
async def test_trials_that_a_cancelled_study_did_not_reach_wait_no_more(tmp_path: Path, place: str) -> None:
    fabricate.Study(tmp_path).start().finish("cancelled")
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=(200, 60)) as pilot:
        text = await shows(pilot, "quickstart-1 cancelled", "not run")
        assert "wait" not in text


async def test_points_appear_as_trials_finish(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1 running 0/14", "t draws its training by epoch")
        for index in range(3):
            study.trial(index)
        await shows(pilot, "quickstart-1 running 3/14")
        plot = app.screen.query_one(Plot)
        assert sum(len(line.points) for line in plot.shown.series if line.line) == 3


async def test_the_cursor_reads_points_out_and_enter_opens_the_trial(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◆ global")
        await pilot.press("right", "right", "l")
        await shows(
            pilot, "local   sparsity 50.0 %   accuracy 97.66 %   baseline 98.33 %   quickstart-1 trial 2"
        )
        await pilot.press("j")
        await shows(pilot, "global   sparsity 50.0 %", "trial 9")
        await pilot.press("enter")
        await shows(pilot, "trial 9 (0 to 13)", "global")


async def test_choosing_axes_pareto_log_and_zoom(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◆ global")
        await pilot.press("x", *"packed", "enter")
        await shows(pilot, "x size.packed", "size, packed")
        await pilot.press("p")
        await shows(pilot, "Pareto: lower size.packed, higher accuracy", "─ Pareto front")
        screen = app.screen
        assert isinstance(screen, CurvesScreen)
        rows = screen.query_one("#front", Table).rows
        assert rows and all(row.cells[1] in ("local", "global") for row in rows)
        await pilot.press("p", "L")
        await shows(pilot, "[log y]")
        await pilot.press("L")
        await shows(pilot, "[log error y]", "accuracy (log error scale)", "95 %┤")
        await pilot.press("L", "right", "plus")
        plot = screen.query_one(Plot)
        assert plot.shown.x_limits is not None
        before = plot.shown.x_limits
        await pilot.press("0")
        assert plot.shown.x_limits != before
        await pilot.press("z")
        await shows(pilot, "[zoomed: 0 shows all]")
        assert plot.shown.y_limits is not None and plot.shown.y_limits[0] > 0.9
        await pilot.press("t")
        await shows(pilot, "x epoch", "validation accuracy", "train")


async def test_overlaying_studies(tmp_path: Path) -> None:
    fabricate.finished(tmp_path, "one")
    fabricate.finished(tmp_path, "two")
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "two-1 done")
        await pilot.press("o", *"one", "enter")
        await shows(pilot, "one-1 local", "two-1 global", "+1 study")


@pytest.mark.parametrize("ending", ["svg", "png", "csv", "txt"])
async def test_a_chart_is_written_to_a_file(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "curves")
    path = tmp_path / f"out.{ending}"
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◆ global")
        await pilot.press("w")
        await shows(pilot, "Write the chart to")
        await pilot.press("ctrl+u", *path.name, "enter")
        await shows(pilot, "wrote")
    assert path.stat().st_size > 200


async def test_a_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "◆ global")
        await pilot.press("w")
        await shows(pilot, "Write the chart to")
        await pilot.press("ctrl+u", *"/nowhere/at/all.svg", "enter")
        await shows(pilot, "can't be written", "Choose another name")
        await pilot.press("enter")
        await shows(pilot, "x prune.weights.sparsity")


async def test_a_failed_trial_shows_its_error_with_the_remedy(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    study.fail(0)
    app = Lab(None, tmp_path, "trial")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "ran out of memory", "in finetune [epoch 1]", "→ Take a smaller batch")


async def test_markup_is_shown_literally(tmp_path: Path) -> None:
    fabricate.finished(tmp_path, "quick[red]start")
    study = fabricate.finished(tmp_path, "x")
    study.run.log.write_text("[bold]one[/bold] [/] [link=x]\n")
    app = Lab(None, tmp_path, "log")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "x-1")
        await pilot.press("e")
        await shows(pilot, "[bold]one[/bold] [/] [link=x]")


async def test_a_deleted_study_leaves_the_screen_standing(tmp_path: Path) -> None:
    study = fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "curves")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart-1 done")
        shutil.rmtree(study.run.path)
        app.session.watcher.look()
        await shows(pilot, "quickstart-1 unreadable")
        for key in "567":
            await pilot.press(key)
            await settled(pilot)
    assert not app.return_code


@pytest.mark.parametrize(
    "events",
    [
        b"",
        b"\x00\xff\xfe not json\n{}\n[1]\n",
        b'{"event": "planned", "time": 1.0, "trials": [{"index": 0}], "devices": {}}\n',
        b'{"event": "planned", "time": 1.0, "trials": 7, "devices": {}}\n',
        b'{"event": "step-finished", "time": 1, "key": "k", "kind": "x", "reused": 0, "seconds": "a", "measures": 3}\n',
        b'{"event": "study-finished", "time": "soon", "state": "done", "error": {"x": 1}}\n',
    ],
)
async def test_a_corrupt_study_crashes_no_screen(tmp_path: Path, events: bytes) -> None:
    study = fabricate.finished(tmp_path)
    study.run.events.write_bytes(events)
    study.run.status.write_text('{"state": "running", "done": "many", "best": 3')
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "quickstart-1", "unreadable")
        for key in "4567":
            await pilot.press(key)
            await settled(pilot)
        await pilot.press("right", "enter", "t")
    assert not app.return_code


@pytest.mark.parametrize("theme", ["light", "contrast", "plain"])
async def test_every_theme_draws_every_place(tmp_path: Path, theme: str) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "quickstart-1")
        while app.theme != theme:
            await pilot.press("ctrl+t")
        await shows(pilot, f"theme: {theme}")
        await pilot.press("4")
        await shows(pilot, "◆ global")
    assert Lab(None, tmp_path).theme == theme


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (10, 3), (300, 90)])
async def test_odd_sizes_do_not_crash(tmp_path: Path, size: tuple[int, int]) -> None:
    fabricate.finished(tmp_path)
    app = Lab(None, tmp_path, "studies")
    async with app.run_test(size=size) as pilot:
        for key in ("enter", "5", "6", "7", "question_mark", "escape", "ctrl+p", "escape"):
            await pilot.press(key)
            await settled(pilot)
        await pilot.resize_terminal(80, 24)
        await shows(pilot, "commands")
    assert not app.return_code


async def test_the_run_page_shows_the_log_to_its_end(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, scopes=("local",), sparsities=(0.5,)).start()
    app = Lab(None, tmp_path, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "measure the baseline done", "running")
        study.finish()
        app.session.watcher.look()
        await shows(pilot, "study done")
