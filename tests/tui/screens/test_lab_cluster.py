"""The lab beside a cluster: a partition to choose, and the scripts before anything is sent."""

from pathlib import Path

import pytest

from tests.tui.screens.test_lab import lab, shown, until
from tests.tui.screens.test_lab_run import reviewed
from tui.lab.fields import Field, choice, fields_of
from tui.screens.lab import LabScreen
from tui.screens.lab_texts import Review, TextView
from tui.widgets.fieldline import note
from tui.widgets.picker import Picker

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

PRESET = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {epochs: 1}}]\n"


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with two partitions, as far as its programs tell."""
    programs = tmp_path / "bin"
    programs.mkdir()
    answers = {
        "sinfo": "cpu*|2-00:00:00|10|64|250000|(null)|zen4\ngpu|1-00:00:00|4|32|500000|gpu:a100:4|zen3",
        "scontrol": "MaxArraySize = 1001",
        "sbatch": "",
    }
    for name, answer in answers.items():
        (programs / name).write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


async def test_a_partition_is_chosen_by_key_and_its_scripts_are_shown_before_the_start(
    tmp_path: Path,
) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(PRESET)
    async with lab(tmp_path, preset=preset) as (screen, pilot):
        await pilot.press("P")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.pause(0.1)
        await until(pilot, lambda: "4 nodes of 32 processors, 524 GB, gpu:a100:4" in shown(pilot))
        await pilot.press("g", "p", "u", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await until(pilot, lambda: "Slurm, partition gpu" in shown(pilot))
        review = await reviewed(pilot)
        assert isinstance(review, Review)
        assert "v" in [hint.key for hint in review.KEYS]
        await pilot.press("v")
        await until(pilot, lambda: type(pilot.app.screen) is TextView)
        view = pilot.app.screen
        assert isinstance(view, TextView)
        assert "#SBATCH --partition=gpu" in text(view)
        assert "can't run" in text(view) and "--prepare" in text(view), "they are to be read"
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert not (tmp_path / "workspace" / "studies").exists(), "nothing was written"


async def test_where_the_site_has_settled_it_the_lab_says_so_and_this_machine_can_be_asked_for(
    tmp_path: Path,
) -> None:
    settled = tmp_path / "XDG_CONFIG_HOME" / "secateur" / "slurm.yaml"
    settled.parent.mkdir(parents=True)
    settled.write_text("default: true\npartition: cpu\n")
    preset = tmp_path / "p.yaml"
    preset.write_text(PRESET)
    by = f"by {settled}"
    async with lab(tmp_path, (200, 40), preset) as (screen, pilot):
        await until(pilot, lambda: "Slurm, by" in shown(pilot))
        switch = switch_of(screen)
        assert (switch.current, note(switch, "")) == ("on", by)
        review = await reviewed(pilot)
        assert review.spec.settings.executor.slurm is not None
        told = text(review)
        assert f"* where            Slurm, {by}" in told and f"* slurm.partition  cpu, {by}" in told
        assert "local.parallel" not in told
        await pilot.press("escape")
        await pilot.press("P")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await until(pilot, lambda: "in the background, also when you log out" in shown(pilot))
        await pilot.press("t", "h", "i", "s", "enter")
        await until(
            pilot, lambda: pilot.app.screen is screen and "this machine, not Slurm; 1 at" in shown(pilot)
        )
        switch = switch_of(screen)
        assert switch.current == "off"
        review = await reviewed(pilot)
        assert review.spec.settings.executor.slurm is None
        assert f"* where  this machine; others by Slurm, {by}" in text(review)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        screen.enter(switch, choice(switch, "on"))
        assert screen.document.plain["executor"] == {"slurm": {}}
        screen.enter(switch, choice(switch, "off"))
        assert screen.document.plain["executor"] == {"slurm": None}, "nothing written would be Slurm again"


async def test_a_file_of_the_site_that_can_not_be_read_is_told_before_a_run(tmp_path: Path) -> None:
    settled = tmp_path / "XDG_CONFIG_HOME" / "secateur" / "slurm.yaml"
    settled.parent.mkdir(parents=True)
    settled.write_text("partitoin: cpu\n")
    preset = tmp_path / "p.yaml"
    preset.write_text(PRESET)
    async with lab(tmp_path, preset=preset) as (screen, _):
        assert "partitoin: is unknown" in str(screen.checked.unusable)


def switch_of(screen: LabScreen) -> Field:
    """The form's field that says whether it runs by Slurm."""
    fields = fields_of(screen.document.root, "executor", screen.checked.settled)
    return next(one for one in fields if one.label == "slurm")


def text(view: TextView) -> str:
    return "\n".join("".join(part for part, _ in line) for line in view.build(200))
