"""Taking a model away from within the lab: the form, its progress, what goes wrong, and leaving meanwhile."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.errors import UsageError
from engine.results import pick
from engine.testing import folders as fabricate
from tests import study_lab
from tests.tui.screens.test_screens import SIZES, shows
from tests.tui.terminal import Terminal
from tui.app import Lab
from tui.screens.model_export import ExportScreen
from tui.work.models import ModelExport, Wish

SPARSITY = "prune.weights.sparsity"
WITHIN_S = 90.0
"""Plenty for a process that imports torch, even where all processors are busy."""
FORM = ("Export trial 1 of p-1", "‹ safetensors ›", "p-1-trial-1", "F9 write it")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> study_lab.Lab:
    """A real study of two trials."""
    lab = study_lab.Lab(tmp_path_factory.mktemp("lab"))
    lab.run("measure.latency=null")
    return lab


@pytest.fixture(autouse=True)
def _own_folders(study: study_lab.Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_HOME", str(study.workspace))
    monkeypatch.chdir(tmp_path)


def opened(study: study_lab.Lab) -> Lab:
    """The lab at the last trial of the study."""
    app = Lab(None, study.workspace, "trial")
    app.session.study, app.session.trial = "p-1", 1
    return app


async def form(pilot: Pilot[Any]) -> None:
    """Opens the form of the trial that the lab is at."""
    await shows(pilot, "p-1  trial 1")
    await pilot.press("w")
    await shows(pilot, *FORM)


async def ended(pilot: Pilot[Any], app: Lab) -> ModelExport:
    """The export, once it has ended."""
    export = app.session.export
    assert export is not None
    async with asyncio.timeout(WITHIN_S):
        while export.running:
            await asyncio.sleep(0.05)
    await pilot.pause()
    return export


@pytest.mark.parametrize("size", SIZES)
async def test_the_form_says_what_can_be_written(study: study_lab.Lab, size: tuple[int, int]) -> None:
    app = opened(study)
    async with app.run_test(size=size) as pilot:
        await form(pilot)
        text = await shows(pilot, "pt2", "openvino", "onnx")
        assert "int8-onnx" not in text
        assert all(len(line) <= size[0] for line in text.splitlines())
        await pilot.press("right", "right", "down", "enter", *"out")
        await shows(pilot, "‹ pt2 ›", "Relative to where")
        await pilot.press("escape", "escape")
        await shows(pilot, "p-1  trial 1", "export")
        assert not list(Path.cwd().glob("out*"))


async def test_a_trial_is_exported_while_the_lab_goes_on(study: study_lab.Lab, tmp_path: Path) -> None:
    app = opened(study)
    async with app.run_test(size=(80, 24)) as pilot:
        await form(pilot)
        await pilot.press("down", "enter", *"new/model", "up", "right", "enter")
        await shows(pilot, "loading torch", "c cancel")
        await pilot.press("escape", "3")
        await shows(pilot, "1 study")
        await pilot.press("5")
        await shows(pilot, "p-1  trial 1")
        await pilot.press("w")
        await shows(pilot, "‹ onnx ›", "new/model", "c cancel")
        export = await ended(pilot, app)
        assert export.error is None
        await shows(pilot, "359 images beside", "The model is in", "new/model")
        await pilot.press("enter")
        assert not isinstance(app.screen, ExportScreen)
    card = json.loads((tmp_path / "new/model/card.json").read_text())
    assert (card["study"], card["trial"], card["format"]) == ("p-1", 1, "onnx")
    assert (tmp_path / "new/model/load.py").is_file()


async def test_from_the_list_it_is_the_pick_and_says_why(study: study_lab.Lab) -> None:
    found = pick.pick(study.state("p-1"))
    assert found is not None
    app = Lab(None, study.workspace, "studies")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 study", "p-1")
        await pilot.press("w")
        await shows(
            pilot, f"Export trial {found.trial.index} of p-1", f"sparsity {found.trial.parameters[SPARSITY]}"
        )


async def test_a_folder_in_use_is_refused_and_the_form_stays(study: study_lab.Lab, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "load.py").write_text("mine")
    app = opened(study)
    async with app.run_test(size=(80, 24)) as pilot:
        await form(pilot)
        await pilot.press("down", "enter", *"mine", "up", "enter")
        export = await ended(pilot, app)
        assert export.error is not None
        await shows(pilot, "mine is not empty", "--force")
        await pilot.press("enter")
        await shows(pilot, "Failed", "mine", "F9 write it")
        await pilot.press("down", "down", "right")
        await shows(pilot, "[x] true", "replaced")
    assert [(file.name, file.read_text()) for file in mine.iterdir()] == [("load.py", "mine")]


async def test_a_folder_that_cannot_be_made_is_an_error_like_others(study: study_lab.Lab) -> None:
    export = ModelExport(Wish(study.workspace, "p-1", 1, (), "safetensors", "a" * 300))
    await export.run()
    assert "File name too long" in str(export.error)
    assert export.outcome.startswith("Failed: ")


def test_a_folder_is_read_as_a_shell_does() -> None:
    wish = Wish(Path("w"), "p-1", 1, (), "onnx", "~/x")
    assert wish.path == Path.home() / "x"
    with pytest.raises(UsageError, match="home folder in ~nobody-here/x is not known"):
        _ = replace(wish, folder="~nobody-here/x").path
    assert replace(wish, folder="-x", force=True).words()[-4:] == ["--force", "--", "p-1", "-x"]


async def test_a_home_that_nobody_has_is_told_and_the_form_stays(study: study_lab.Lab) -> None:
    app = opened(study)
    async with app.run_test(size=(80, 24)) as pilot:
        await form(pilot)
        await pilot.press("down", "enter", *"~nobody-here/x", "up", "enter")
        export = await ended(pilot, app)
        assert export.error is not None
        await shows(pilot, "~nobody-here/x is not known", "Write the whole path")


async def test_a_cancelled_export_leaves_nothing(study: study_lab.Lab, tmp_path: Path) -> None:
    app = opened(study)
    async with app.run_test(size=(80, 24)) as pilot:
        await form(pilot)
        await pilot.press("enter")
        await shows(pilot, "reading the data set")
        await pilot.press("c")
        await ended(pilot, app)
        await shows(pilot, "Cancelled", "F9 write it")
    assert not list(tmp_path.glob("*p-1*")) + list(tmp_path.glob(".p-1*"))


async def test_leaving_asks_and_ends_it(study: study_lab.Lab, tmp_path: Path) -> None:
    app = opened(study)
    async with app.run_test(size=(80, 24)) as pilot:
        await form(pilot)
        await pilot.press("enter")
        await shows(pilot, "loading torch")
        await pilot.press("ctrl+q")
        await shows(pilot, "Trial 1 of p-1 is being exported", "leaving stops")
        await pilot.press("y")
        await pilot.pause()
    assert app.session.export is not None
    assert app.session.export.done is None
    assert study_lab.processes_of(study.workspace) == {}
    assert not list(tmp_path.glob(".p-1*"))


async def test_a_process_that_is_killed_is_an_error_too(study: study_lab.Lab) -> None:
    export = ModelExport(Wish(study.workspace, "p-1", 1, (), "safetensors", "x"))
    running = asyncio.create_task(export.run())
    while not export.progress_lines:
        await asyncio.sleep(0.05)
    for pid in study_lab.processes_of(study.workspace):
        os.kill(pid, signal.SIGKILL)
    await running
    assert export.error is not None
    assert "ended without a word" in export.error.title
    assert "-9" in export.error.detail


async def test_a_trial_that_is_not_done_says_so(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path).start()
    study.status("running")
    app = Lab(None, tmp_path, "trial")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "trial 0")
        await pilot.press("w")
        await shows(pilot, "Only a trial that is done can be exported")


async def test_the_palette_finds_it(study: study_lab.Lab) -> None:
    app = Lab(None, study.workspace, "curves")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "p-1")
        await pilot.press("ctrl+p", *"its model away")
        await shows(pilot, "Trial export: Take its model away")
        await pilot.press("enter")
        await shows(pilot, "Export trial", "‹ safetensors ›")


def test_keys_of_one_packet_land_in_the_order_typed(tmp_path: Path) -> None:
    fabricate.finished(tmp_path)
    terminal = Terminal(tmp_path, (80, 24), "--open", "trial")
    terminal.ready("trial 9")
    os.write(terminal.file, b"w")
    terminal.ready("Export trial 9")
    os.write(terminal.file, b"\x1b[C\x1b[B\rabx\x7fc\r\x1b[B\x1b[C")
    terminal.until("onnx", "abc", "true")
    os.write(terminal.file, b"\x1b")
    terminal.settle()
    assert terminal.close() == 0
