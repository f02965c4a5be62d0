"""A study that began on another machine: the lab asks where it should go on."""

from pathlib import Path

import pytest

from engine.runner import launch
from engine.runner.pinned import OtherMachine, Pinned
from engine.studies.rundir import RunDir
from engine.testing import folders as fabricate
from tests.tui.screens.test_screens import settled, shows
from tui.app import Lab


@pytest.mark.parametrize("place", ["studies", "run"])
@pytest.mark.parametrize(("key", "started"), [("w", []), ("h", [True]), ("escape", [])])
async def test_a_study_that_began_on_another_machine_asks_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, key: str, started: list[bool]
) -> None:
    study = fabricate.Study(tmp_path).start()
    study.status("cancelled")
    asked: list[bool] = []

    def start(run: RunDir, *, here: bool = False, after: bool = False) -> None:
        if not here:
            kept = Pinned("big-node", "cpu", 64, 64, {})
            raise OtherMachine(
                run, kept, ["Its trials compute with 64 threads, and 2 processors are here"], 5
            )
        asked.append(here)

    monkeypatch.setattr(launch, "start", start)
    app = Lab(None, tmp_path, place)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, study.run.name, "cancelled")
        await pilot.press("r")
        await shows(
            pilot, "64 threads", "computed anew", "big-node", "go on here with other bits", "begin anew"
        )
        await pilot.press(key)
        await settled(pilot)
    assert asked == started
