"""Whatever is typed into a field, and whatever lies in the workspace, the lab goes on."""

import json
from pathlib import Path

import pytest

from engine.presets import shipped
from tui.keys.lab import LAB
from tui.lab import edits, outline, tree
from tui.lab.check import check, validate
from tui.lab.document import Document
from tui.lab.estimate import History
from tui.lab.fields import SECTIONS, fields_of, help_of, problems_at
from tui.lab.text import read
from tui.screens.lab import LabScreen
from tui.widgets.form import note

ODD = [
    "-1",
    "1e400",
    ".nan",
    "0..",
    "0..1 by 0",
    "1..0 by 0.1",
    "0..9 by 0.00001",
    ", ,",
    "[",
    "]",
    "{",
    "{a: [}",
    "a: b",
    "'",
    '"',
    "null",
    "true",
    "~nobody/x",
    "/dev/null/x",
    "\x00",
    "\ud800",
    "x" * 3000,
    "!!python/object:x",
    "*a",
    "&a b",
    "2:4",
    "0x10",
    "é\u0301🙂",
    "a.py:f",
    "zip",
    "- x",
    "# c",
    "[[]]",
    "[[1], [2]]",
    "999999999999999999999999",
]


@pytest.mark.parametrize("owner", [*SECTIONS, 0, 1])
def test_whatever_is_typed_ends_in_a_problem_or_a_preset(owner: int | str, tmp_path: Path) -> None:
    document = Document.open(shipped.find("quickstart"))
    history = History(tmp_path)
    for field in fields_of(document.plain, owner):
        for typed in ODD:
            plain = edits.enter(document.plain, field.spot, read(field.row, typed))
            found, problems = validate(plain, "q", None)
            if owner in ("model", "data", "study"):  # what the data, the keys and the estimate depend on
                check(plain, "q", None, 0, history)
            assert (found is None) == bool(problems)
            outline.items(plain, problems)
            for again in fields_of(plain, owner):
                note(again, "")
                help_of(again)
                problems_at(plain, again, problems)
            assert (
                edits.reset(plain, field.spot) == edits.reset(document.plain, field.spot)
                or "plot" in document.plain
            )


@pytest.mark.parametrize(
    "line", [b"{}", b"[1]", b"\xff\xfe", b'{"event": "planned", "trials": [1]}', b'{"event": 3}']
)
def test_a_study_that_makes_no_sense_is_no_source_of_times(tmp_path: Path, line: bytes) -> None:
    folder = tmp_path / "studies" / "odd"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(
        json.dumps({"state": "done", "model": "resnet20", "data": "digits", "done": 1})
    )
    (folder / "events.jsonl").write_bytes(line + b"\n")
    document = Document.open(shipped.find("quickstart"))
    assert check(document.plain, "q", None, 0, History(tmp_path)).estimate.seconds is None


def test_every_action_of_the_table_can_be_done() -> None:
    missing = [action.id for action in LAB if not hasattr(LabScreen, f"action_{action.id}")]
    assert missing == []


def test_no_two_actions_share_a_key() -> None:
    keys = [key for action in LAB for key in action.keys]
    assert len(keys) == len(set(keys))


def test_the_tree_of_an_empty_preset_can_be_shown() -> None:
    for plain in ({}, {"steps": None, "sweep": None, "model": None}):
        assert tree.shape_problems(plain) == [] or "steps: is not a list." in tree.shape_problems(plain)
