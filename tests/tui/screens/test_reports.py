"""Notes, tags and reports from the lab's list of studies."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.studies import notes
from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import shows, until
from tui.app import Lab
from tui.widgets.keyinput import KeyInput


@asynccontextmanager
async def listing(workspace: Path) -> AsyncIterator[Pilot[Any]]:
    """The lab with the list of studies, of which one is done."""
    async with Lab(None, workspace, "studies").run_test(size=(120, 40)) as pilot:
        await shows(pilot, "quickstart", "done")
        yield pilot


async def test_a_note_is_found_and_a_report_is_written(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path / "w").run
    async with listing(tmp_path / "w") as pilot:
        await pilot.press("n")
        await shows(pilot, "Note on quickstart-1")
        pilot.app.screen.query_one(KeyInput).value = "for table 3 #paper"
        await pilot.press("enter")
        await shows(pilot, "#paper", "for table 3")
        assert notes.read(run) == notes.Notes("for table 3", ("paper",))
        await pilot.press("slash")
        pilot.app.screen.query_one(KeyInput).value = "nothing"
        await shows(pilot, "No study has these words")
        pilot.app.screen.query_one(KeyInput).value = "#paper"
        await shows(pilot, "1 of 1")
        await pilot.press("enter", "R")
        await shows(pilot, "Write a report on quickstart-1")
        pilot.app.screen.query_one(KeyInput).value = str(tmp_path / "r.md")
        await pilot.press("enter")
        await until(pilot, (tmp_path / "r.md").exists)
        await shows(pilot, "wrote")
    assert "for table 3" in (tmp_path / "r.md").read_text()


async def test_two_trials_are_put_side_by_side(tmp_path: Path) -> None:
    fabricate.finished(tmp_path / "w")
    async with listing(tmp_path / "w") as pilot:
        await pilot.press("equals_sign")
        text = await shows(pilot, "Compare quickstart-1 with", "quickstart-1:0")
        assert "quickstart-1:9 " not in text, "its pick is compared with others, not with itself"
        pilot.app.screen.query_one(KeyInput).value = "1:6"
        await pilot.press("enter")
        await shows(pilot, "against quickstart-1:6", "prune.weights.sparsity", "-29.", "layer")
        await pilot.press("escape", "5")
        await shows(pilot, "Parameters", "Measures")
        await pilot.press("equals_sign")
        await shows(pilot, "Compare quickstart-1:9 with")


async def test_a_suggestion_opens_as_an_edited_preset(tmp_path: Path) -> None:
    fabricate.finished(tmp_path / "w")
    async with listing(tmp_path / "w") as pilot:
        await pilot.press("N")
        await shows(pilot, "After quickstart-1", "more finely")
        await pilot.press("enter")
        await shows(pilot, "0.54", "sparsity")


async def test_a_deleted_study_is_taken_back(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path / "w").run
    async with listing(tmp_path / "w") as pilot:
        await pilot.press("d")
        await shows(pilot, "Delete quickstart-1?", "the bin")
        await pilot.press("y")
        await shows(pilot, "No studies in")
        await pilot.press("U")
        await shows(pilot, "in the bin")
        await pilot.press("escape", "u")
        await shows(pilot, "back from the bin", "quickstart-1")
    assert run.preset.exists()


async def test_a_study_whose_events_make_no_sense_is_told_of_and_not_compared(tmp_path: Path) -> None:
    run = fabricate.finished(tmp_path / "w").run
    odd = re.sub(r'"validation_accuracy": ?[0-9.]+', '"validation_accuracy":"odd"', run.events.read_text())
    run.events.write_text(odd)
    async with listing(tmp_path / "w") as pilot:
        await pilot.press("equals_sign")
        await shows(pilot, "The events of quickstart-1 make no sense")
