"""The lab's form: what is typed is the value, and nothing is unless a field was entered."""

from itertools import cycle
from pathlib import Path

import pytest

from engine.presets.addresses import ABSENT, value_at
from engine.presets.steps import Address
from engine.presets.yaml.tree import Mapping
from tests.tui.screens.test_lab import (
    SIZES,
    SPARSITY,
    lab,
    row_of,
    settled,
    shown,
    to_sparsity,
    to_step,
    until,
)
from tui.lab.document import enter
from tui.lab.fields import SECTIONS, Field, fields_of
from tui.lab.text import read
from tui.widgets.form import Form
from tui.widgets.lab_head import picked_from_list
from tui.widgets.outline import Outline
from tui.widgets.picker import Picker
from tui.widgets.plot import Plot

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


@pytest.mark.parametrize("size", SIZES)
async def test_down_walks_through_every_field_and_stays_and_tab_goes_to_the_next_pane(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with lab(tmp_path, size) as (screen, pilot):
        form = screen.query_one(Form)
        await to_step(pilot, 0)
        walked = []
        while form.field and form.field.label not in walked:
            walked.append(form.field.label)
            await pilot.press("down")
        assert walked[:3] == ["epochs", "learning_rate", "schedule"]
        assert walked == [field.label for field in fields_of(screen.document.root, 0)]
        assert form.focused
        await pilot.press("tab")
        assert isinstance(screen.focused, Plot if size[0] >= 110 else Outline)
        await pilot.press("shift+tab")
        assert form.focused


async def test_what_is_typed_is_the_value_and_a_bad_one_is_told_below_the_fields(tmp_path: Path) -> None:
    async with lab(tmp_path, (80, 24)) as (screen, pilot):
        await to_step(pilot, 0)
        await pilot.press("enter", "0")
        await settled(pilot)
        assert value_at(screen.document.root, Address(0, "epochs")) == 0
        assert "given 0; allowed: a whole number ≥ 1" in " ".join(shown(pilot).split())
        assert "!" in shown(pilot)
        await pilot.press("backspace", *"25", "enter")
        await settled(pilot)
        assert value_at(screen.document.root, Address(0, "epochs")) == 25
        assert "Press F9 to run it" in shown(pilot)


HALF_TYPED = [
    "[0.35, 0.32, 0.28]",
    '["a, b", c\\\\, {d: "e',
    "[it's, 'x",
    "{width: 32, 'deep",
    "auto, nullable",
    "1.50, -.inf, .nan",
    "é字 #c & *a",
]


OWNERS = ("model", "data", 1)


def typed_into(root: Mapping, owner: int | str) -> dict[tuple[object, ...], Field]:
    """A field of each kind that text is typed into."""
    found: dict[tuple[object, ...], Field] = {}
    for field in fields_of(root, owner):
        if not (field.options or field.checks or picked_from_list(field)):
            found.setdefault((field.row.type, field.row.listable, field.row.default is None), field)
    return found


@pytest.mark.parametrize("owner", OWNERS)
async def test_what_is_typed_stays_as_it_is_typed_and_one_undo_takes_it_back(
    tmp_path: Path, owner: int | str
) -> None:
    async with lab(tmp_path, (80, 24)) as (screen, pilot):
        form = screen.query_one(Form)
        place = SECTIONS.index(owner) if isinstance(owner, str) else len(SECTIONS) + owner
        await pilot.press(*["down"] * place, "tab")
        before = screen.document.root
        kinds = typed_into(before, owner)
        known = {kind for one in OWNERS[: OWNERS.index(owner)] for kind in typed_into(before, one)}
        fields = [field for kind, field in kinds.items() if kind not in known] or [*kinds.values()][:1]
        for field, text in zip(fields, cycle(HALF_TYPED), strict=False):
            form.point_at(field.address)
            await pilot.press("enter")
            for i, letter in enumerate(text, 1):
                await pilot.press(letter)
                assert form.editor.value == text[:i]
            await pilot.press("enter")
            assert screen.document.plain == enter(before, field.address, read(field.row, text)).plain()
            assert len(screen.document.changes) == 1
            await pilot.press("enter", "enter")
            assert len(screen.document.changes) == 1, "looking at it again is no change"
            await pilot.press("ctrl+z")
            assert screen.document.root is before


async def test_a_value_is_selected_when_it_is_entered_set_before_or_not(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_step(pilot, 0)
        for typed in ("32", "28"):
            await pilot.press("enter", *typed, "enter")
            assert value_at(screen.document.root, Address(0, "epochs")) == int(typed)
        await pilot.press("enter", "end", "0", "enter")
        assert value_at(screen.document.root, Address(0, "epochs")) == 280


async def test_a_default_can_be_edited_and_left_as_it_is(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_sparsity(pilot)
        await pilot.press("ctrl+r", "enter", "enter")
        assert value_at(screen.document.root, SPARSITY) is ABSENT
        await pilot.press("enter", "end", "5", "enter")
        assert value_at(screen.document.root, SPARSITY) == 0.55
        await pilot.press("enter", "ctrl+u", "enter")
        assert value_at(screen.document.root, SPARSITY) is ABSENT


async def test_escape_leaves_a_value_as_it_was_and_nothing_to_undo(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        before = screen.document.plain
        await to_sparsity(pilot)
        await pilot.press("enter", *"0.7", "escape")
        assert screen.document.plain == before
        assert screen.query_one(Form).focused
        await pilot.press("ctrl+z")
        assert "Nothing to undo" in shown(pilot)
        await pilot.press("escape", "escape", "escape")
        assert isinstance(screen.focused, Outline)
        assert pilot.app.current_mode == "lab"


async def test_a_choice_is_a_list_that_says_what_each_value_means(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await to_step(pilot, 1)
        await pilot.press(*["down"] * row_of("criterion"), "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        assert "effect on the loss, first order" in shown(pilot)
        await pilot.press(*"tay", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert value_at(screen.document.root, Address(1, "criterion")) == "taylor"


async def test_a_list_of_choices_is_a_check_list_and_escape_changes_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press(*["down"] * 3, "tab")
        form = screen.query_one(Form)
        while form.field is None or form.field.label != "latency.runtimes":
            await pilot.press("down")
        for key, runtimes in (("escape", ["torch", "onnxruntime"]), ("enter", ["onnxruntime", "openvino"])):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
            assert "[x] torch " in shown(pilot)
            await pilot.press("space", *"vino", "space")
            assert "[ ] torch " in shown(pilot)
            assert "[x] openvino" in shown(pilot)
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen is screen)
            assert screen.document.plain["measure"]["latency"]["runtimes"] == runtimes


async def test_a_sweep_in_the_outline_puts_the_form_on_its_parameter(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        form = screen.query_one(Form)
        for key, label in (("end", "sparsity"), ("up", "scope"), ("down", "sparsity")):
            await pilot.press(key)
            await until(pilot, lambda label=label: form.field and form.field.label == label)


async def test_letters_on_a_field_are_no_commands(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        before = screen.document.plain
        await to_step(pilot, 1)
        await pilot.press(*"random, taylor dcumsKJ", "space", *"hl")
        assert pilot.app.screen is screen
        assert screen.document.plain == before
        assert "Enter edits the value" in shown(pilot)


async def test_help_has_the_room_that_the_fields_leave_and_marks_what_is_cut(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(
        "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train, prune.channels: {criterion: l1}]\n"
    )
    for size, whole in (((120, 40), True), ((80, 24), False)):
        async with lab(tmp_path, size, preset) as (_, pilot):
            await to_step(pilot, 1)
            text = " ".join(shown(pilot).split())
            assert ("random. Default:" in text) == whole
            assert ("…" in text) or whole
            assert whole or "Enter lists them, ←→ choose, F8 sweep, ^r" in text, "keys are never cut"


async def test_the_keyboard_lives_when_the_form_s_step_is_taken_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press(*["down"] * (len(SECTIONS) + 2), "ctrl+g")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press(*"calib", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("tab", "ctrl+z")
        await settled(pilot)
        outline = screen.query_one(Outline)
        before = outline.item
        await pilot.press("tab", "shift+tab", "up")
        assert isinstance(screen.focused, Outline)
        assert outline.item != before


async def test_the_model_picker_takes_a_function_of_one_s_own(tmp_path: Path) -> None:
    async with lab(tmp_path) as (screen, pilot):
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press(*"nets.py:small", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.document.plain["model"]["name"] == "nets.py:small"
