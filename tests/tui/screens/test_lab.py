"""The lab screen under Pilot at three sizes: it shows, edits and checks a preset by keyboard alone."""

import shutil
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.presets import shipped
from engine.presets.addresses import ABSENT, axis_at, value_at
from engine.presets.steps import Address, steps_of
from engine.studies.rundir import RunDir
from engine.testing.folders import Study, finished
from tests.tui.screens.test_screens import WAITS
from tui.app import Lab
from tui.lab.document import Document
from tui.lab.fields import SECTIONS, fields_of
from tui.screens.lab import LabScreen
from tui.screens.lab_texts import TextView
from tui.widgets.confirm import Notice, Prompt
from tui.widgets.form import Form
from tui.widgets.outline import Outline
from tui.widgets.picker import Picker
from tui.widgets.plot import Plot
from tui.widgets.table import Table

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")

SIZES = [(80, 24), (120, 40), (200, 60)]
SPARSITY = Address(1, "sparsity")


@asynccontextmanager
async def lab(tmp_path: Path, size: tuple[int, int] = (120, 40), preset: Path | None = None):  # type: ignore[no-untyped-def]
    """The lab's screen, settled, and its pilot."""
    app = Lab(preset, tmp_path / "workspace")
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        screen = app.screen
        assert isinstance(screen, LabScreen)
        yield screen, pilot


async def settled(pilot: Pilot[None]) -> None:
    """Wait until the preset as it is has been checked."""
    for _ in range(500):
        await pilot.pause(0.02)
        screen = pilot.app.screen
        if not isinstance(screen, LabScreen):
            return
        if screen.checked.revision == screen.document.revision and screen.checked.complete:
            return
    raise AssertionError("the preset was not checked within ten seconds")


def shown(pilot: Pilot[None]) -> str:
    """The text on the terminal."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def to_sparsity(pilot: Pilot[None]) -> None:
    """From the start to the field `sparsity` of step 2."""
    await to_step(pilot, 1)
    await pilot.press(*["down"] * row_of("sparsity"))


def row_of(label: str, owner: int | str = 1) -> int:
    """How many fields of a form of the quickstart, that of its step 2, come before the one called so."""
    root = Document.open(shipped.find("quickstart")).root
    return [field.label for field in fields_of(root, owner)].index(label)


async def to_step(pilot: Pilot[None], number: int) -> None:
    """From the start into the form of a step, counted from 0."""
    await pilot.press(*["down"] * (len(SECTIONS) + number), "tab")


@pytest.mark.parametrize("size", SIZES)
async def test_a_newcomer_sees_the_quickstart_and_which_key_runs_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with lab(tmp_path, size) as (_, pilot):
        text = shown(pilot)
        for words in (
            "quickstart",
            "14 trials",
            "unknown until the first run",
            "Press F9 to run it",
            "prune.weights",
            "finetune",
        ):
            assert words in text


@pytest.mark.parametrize("size", SIZES)
async def test_every_form_fits_the_terminal(tmp_path: Path, size: tuple[int, int]) -> None:
    async with lab(tmp_path, size) as (screen, pilot):
        for _ in range(len(SECTIONS) + 6):
            for widget in screen.query("*"):
                region = widget.region
                assert region.right <= size[0]
                assert region.bottom <= size[1]
            await pilot.press("down")


async def test_a_list_or_range_typed_into_a_field_sweeps_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_sparsity(pilot)
        await pilot.press("enter", *"0..0.9 by 0.3", "enter")
        await settled(pilot)
        assert screen.document.plain["sweep"]["prune.weights.sparsity"] == "0..0.9 by 0.3"
        assert screen.checked.spec is not None
        assert len(screen.checked.spec.trials) == 8
        assert screen.document.plain["plot"]["x"] == "prune.weights.sparsity"


async def test_undo_brings_the_text_back_into_the_field(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_sparsity(pilot)
        before = screen.document.plain
        await pilot.press("enter", *"0.5", "ctrl+z")
        assert screen.document.plain == before
        assert screen.query_one(Form).editor.value == "0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95"
        await pilot.press("ctrl+y")
        assert value_at(screen.document.root, SPARSITY) == 0.5
        assert screen.query_one(Form).editor.value == "0.5"


async def test_reset_gives_the_default_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_sparsity(pilot)
        await pilot.press("ctrl+r")
        await settled(pilot)
        assert value_at(screen.document.root, SPARSITY) is ABSENT
        assert axis_at(screen.document.root, SPARSITY) is None
        assert screen.query_one(Form).editor.placeholder == "0.5"


async def test_arrows_choose_and_a_variant_shows_its_own_fields(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_step(pilot, 1)
        await pilot.press(*["down"] * row_of("schedule"), "right")
        await settled(pilot)
        assert value_at(screen.document.root, Address(1, "schedule")) == "linear"
        assert "    rounds" in shown(pilot)
        await pilot.press("left")
        await settled(pilot)
        assert "    rounds" not in shown(pilot)
        assert not screen.document.dirty


async def test_steps_are_copied_moved_switched_off_removed_and_taken_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        first = screen.document.plain
        await pilot.press(*["down"] * (len(SECTIONS) + 2), "c")
        assert [step.kind for step in steps_of(screen.document.root)[0]] == [
            "train",
            "prune.weights",
            "finetune",
            "finetune",
        ]
        await pilot.press("K", "space")
        assert "3 [ ] finetune (finetune-2)" in shown(pilot)
        await pilot.press("d")
        assert len(screen.document.plain["steps"]) == 3
        await pilot.press("u", "u", "u", "u")
        assert screen.document.plain == first


async def test_a_step_is_added_from_the_list_of_all_kinds(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press(*["down"] * (len(SECTIONS) + 1), "ctrl+g")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press(*"calib", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await settled(pilot)
        assert screen.document.plain["steps"][2] == {"calibrate": {}}
        assert "3. calibrate" in shown(pilot)


async def test_a_data_set_that_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press("i")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press(*"cifar100")
        await seen(pilot, "not here: secateur data fetch cifar100")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await settled(pilot)
        assert screen.document.plain["data"]["name"] == "cifar100"
        assert "cifar100 is not on this machine" in shown(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))


async def test_the_run_key_goes_to_the_field_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {momentum: 7}}]\n")
    async with lab(tmp_path, preset=path) as (screen, pilot):
        await pilot.press("f9")
        form = screen.query_one(Form)
        await until(pilot, lambda: form.focused)
        assert form.field is not None
        assert form.field.address == Address(0, "momentum")


async def test_what_is_set_is_saved_under_a_name_and_can_be_viewed(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_sparsity(pilot)
        await pilot.press("enter", *"0.25", "enter", "escape", "w")
        await until(pilot, lambda: isinstance(pilot.app.screen, TextView))
        await seen(pilot, "-  prune.weights.sparsity: [0, 0.3")
        await pilot.press("escape", "v")
        await seen(pilot, "┃ steps:")
        assert "┃   latency:" in shown(pilot)
        await pilot.press("escape", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompt))
        await pilot.press("ctrl+u", *"mine", "enter")
        await until(pilot, (tmp_path / "mine.yaml").exists)
        await until(pilot, lambda: pilot.app.screen is screen and screen.before_quit() == "")
        assert "sparsity: 0.25" in (tmp_path / "mine.yaml").read_text()
        assert screen.document.name == "mine"
        assert screen.before_quit() == ""


async def test_leaving_or_opening_another_preset_does_not_lose_changes_silently(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press(*["down"] * (len(SECTIONS) + 2), "d")
        assert "not saved" in screen.before_quit()
        changed = screen.document.plain
        screen.open(shipped.find("local-vs-global"))
        await until(pilot, lambda: pilot.app.screen is not screen)
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.pause(0.1)
        assert screen.document.plain == changed


async def test_a_study_of_the_workspace_is_edited_as_a_new_preset(tmp_path: Path) -> None:
    run = RunDir.of(tmp_path / "workspace", "quickstart-1")
    run.path.mkdir(parents=True)
    run.preset.write_text(shipped.find("quickstart").read_text())
    async with lab(tmp_path) as (screen, pilot):
        screen.open(run.preset)
        await settled(pilot)
        assert screen.document.path is None


async def test_markup_in_a_preset_is_shown_literally(tmp_path: Path) -> None:
    path = tmp_path / "[red]odd[bold].yaml"
    path.write_text(
        "about: '[bold]x[/nothing]'\nmodel: {name: '[link=x]m'}\ndata: {name: digits}\nsteps: [{train: {'[b]': 1}}]\n"
    )
    async with lab(tmp_path, preset=path) as (screen, pilot):
        await pilot.press("down", "down")
        assert "[red]odd[bold]" in shown(pilot)
        assert "[bold]x[/nothing]" in shown(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: pilot.app.screen is not screen)
        await pilot.press("escape", "v", "escape", "f9")
        assert pilot.app.return_code in (None, 0)


async def test_narrow_terminals_show_one_view_at_a_time(tmp_path: Path) -> None:
    async with lab(tmp_path, (80, 24)) as (screen, pilot):
        await pilot.press("ctrl+l")
        await until(pilot, lambda: screen.query_one(Plot).region.width > 70)
        assert not screen.query_one(Form).region
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(Form).region.width > 40)
        assert isinstance(screen.focused, Outline)


@pytest.mark.parametrize("size", SIZES)
async def test_a_study_that_runs_is_found_again_and_followed(tmp_path: Path, size: tuple[int, int]) -> None:
    study = Study(tmp_path / "workspace", "quickstart").start()
    study.trial(0)
    async with lab(tmp_path, size) as (screen, pilot):
        if size[0] < 110:
            await pilot.press("ctrl+l")
        await seen(pilot, "quickstart-1 running")
        assert "1 of " in shown(pilot)
        study.trial(1)
        await seen(pilot, "2 of ")
        study.finish()
        await seen(pilot, "quickstart-1 done")
        assert screen.session.study == "quickstart-1"


async def test_a_study_that_is_deleted_while_on_screen_is_said_to_be_gone(tmp_path: Path) -> None:
    study = finished(tmp_path / "workspace", "quickstart")
    async with lab(tmp_path) as (_, pilot):
        await seen(pilot, "quickstart-1 done")
        shutil.rmtree(study.run.path)
        await seen(pilot, "unreadable")


async def test_enter_on_a_trial_opens_it(tmp_path: Path) -> None:
    finished(tmp_path / "workspace", "quickstart")
    async with lab(tmp_path) as (screen, pilot):
        await seen(pilot, "quickstart-1 done")
        screen.query_one("#trials", Table).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "trial" and screen.session.trial == 1)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(WAITS):
        if true():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"it did not come true within a minute:\n{shown(pilot)}")


async def seen(pilot: Pilot[None], words: str) -> None:
    """Wait until `words` are on the terminal."""
    for _ in range(WAITS):
        await pilot.pause(0.02)
        if words in shown(pilot):
            return
    raise AssertionError(f"{words!r} was not shown within a minute:\n{shown(pilot)}")
