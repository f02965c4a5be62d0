"""What the run key shows before a study starts, and which version of the preset it runs."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.studies.rundir import studies_folder
from engine.testing import folders as fabricate
from tests.tui.screens.test_lab import lab, shown, until
from tui.screens.lab_texts import Review

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


async def test_the_run_key_shows_every_value_first(tmp_path: Path) -> None:
    async with lab(tmp_path, (80, 24)) as (screen, pilot):
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(pilot.app.screen, Review))
        assert isinstance(pilot.app.screen, Review)
        lines = ["".join(text for text, _ in line) for line in pilot.app.screen.build(76)]
        text = "\n".join(lines)
        for words in ("prune.weights.sparsity", "0, 0.3, 0.5", "epochs", "momentum 0.9", "local.parallel"):
            assert words in text
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.pause(0.1)
        assert not studies_folder(tmp_path / "workspace").exists()


async def reviewed(pilot: Pilot[None]) -> Review:
    """Ask for a run; what is shown before it starts."""
    await pilot.press("f9")
    await until(pilot, lambda: isinstance(pilot.app.screen, Review))
    assert isinstance(pilot.app.screen, Review)
    return pilot.app.screen


async def test_the_review_offers_the_quick_version(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {epochs: 9}}]\nquick: {train.epochs: 1}\n"
    )
    async with lab(tmp_path, preset=preset) as (_, pilot):
        review = await reviewed(pilot)
        assert review.spec.name == "p"
        await pilot.press("q")
        await pilot.pause()
        assert review.spec.name == "p-quick"
        assert "Run p-quick" in shown(pilot)
        await pilot.press("q")
        assert review.spec.name == "p"


async def test_a_quick_version_can_be_run_where_the_whole_ones_data_are_missing(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: cifar10}\nsteps: [{train: {}}]\nquick: {data.name: digits}\n"
    )
    async with lab(tmp_path, preset=preset) as (_, pilot):
        assert (await reviewed(pilot)).spec.name == "p-quick"


async def test_a_study_that_is_through_at_once_is_not_said_to_go_on(tmp_path: Path) -> None:
    through, going = (
        fabricate.finished(tmp_path, "through").run,
        fabricate.Study(tmp_path, "going").start().run,
    )
    async with lab(tmp_path) as (screen, pilot):
        await screen.tell_begun(through)
        await screen.tell_begun(going)
        await until(pilot, lambda: "going-1 goes on, also when you leave" in shown(pilot))
        await screen.tell_begun(through)
        await pilot.pause(0.1)
        assert "through-1 goes on" not in shown(pilot)
