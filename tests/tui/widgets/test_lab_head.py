"""The lines above the form: they fit the terminal, and name keys that work where the focus is."""

import dataclasses
from pathlib import Path

import pytest

from engine.presets import shipped
from engine.presets.edits import put
from engine.presets.steps import Address
from engine.presets.yaml.tree import node_of
from engine.results.estimate import Estimate
from engine.text.tables import cell_width
from tests.tui.screens.test_lab import lab, seen, settled, shown, to_sparsity
from tui.lab.document import Document
from tui.screens.lab_texts import TextView
from tui.widgets.lab_head import Head, origin_of


async def test_the_key_that_lists_problems_is_named_as_it_works_where_the_focus_is(tmp_path: Path) -> None:
    async with lab(tmp_path, (80, 24)) as (_, pilot):
        await to_sparsity(pilot)
        await pilot.press("enter", *"7", "enter", "down", "enter", *"nonsense")
        await seen(pilot, "2 problems (Esc, then ! lists them)")
        await pilot.press("enter")
        await seen(pilot, "2 problems (! lists them)")
        await pilot.press("exclamation_mark")
        await seen(pilot, "Esc close")
        assert isinstance(pilot.app.screen, TextView)


@pytest.mark.parametrize(
    "estimate", [Estimate(), Estimate(750.0, steps=45, stored=10), Estimate(0.0, steps=45, stored=45)]
)
async def test_a_narrow_head_keeps_the_mark_of_an_edit_and_the_number_of_trials(
    tmp_path: Path, estimate: Estimate
) -> None:
    preset = shipped.find("mobilenetv3-mixed-precision")
    async with lab(tmp_path, (80, 24), preset) as (screen, _):
        head = screen.query_one(Head)
        document = Document.open(preset)
        document.change(lambda root: put(root, Address(None, "seed"), node_of(3)), "set seed")
        head.show(document, dataclasses.replace(screen.checked, estimate=estimate, complete=True))
        first = "".join(text for text, _ in head.lines(80, 2)[0])
        assert cell_width(first) <= 80
        assert "mobilenetv3-mixed-precision (edited)" in first
        assert "6 trials, " in first
        assert "…" not in first


async def test_how_long_it_takes_is_unknown_only_once_that_has_been_looked_for(tmp_path: Path) -> None:
    preset = shipped.find("quickstart")
    async with lab(tmp_path, (120, 40), preset) as (screen, _):
        head, document = screen.query_one(Head), Document.open(preset)
        for complete in (False, True):
            head.show(document, dataclasses.replace(screen.checked, estimate=Estimate(), complete=complete))
            first = "".join(text for text, _ in head.lines(118, 2)[0])
            assert "14 trials" in first
            assert ("time unknown" in first) == complete


async def test_a_name_too_long_is_cut_before_the_mark_of_an_edit(tmp_path: Path) -> None:
    file = tmp_path / f"{'long-' * 30}.yaml"
    file.write_text("model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {}}]\n")
    async with lab(tmp_path, (80, 24), file) as (_, pilot):
        await pilot.press("down", "down", "tab", "enter", *"3", "enter")
        await settled(pilot)
        first = next(line for line in shown(pilot).splitlines() if " (edited)" in line)
        assert len(first) <= 80
        assert "long-… (edited)" in first
        assert "1 trial" in first


async def test_the_head_says_in_which_folder_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "presets" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {}}]\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert origin_of(Document.open(file)) == "in ~/presets"
    monkeypatch.setenv("HOME", "/elsewhere")
    assert origin_of(Document.open(file)) == f"in {file.parent}"
    assert origin_of(Document.new()) == "not saved"


async def test_what_undo_takes_back_is_listed_with_what_was_changed(tmp_path: Path) -> None:
    async with lab(tmp_path) as (_, pilot):
        await to_sparsity(pilot)
        await pilot.press("enter", *"0.5", "enter", "escape", "d", "w")
        await seen(pilot, "Undo takes back, one after the other:")
        listed = shown(pilot).partition("one after the other:")[2]
        assert listed.index("1  remove") < listed.index("2  ")
