"""Whatever is typed into a field, and whatever lies in the workspace, the lab goes on."""

from pathlib import Path

import pytest

from engine.presets import edits, shipped
from engine.presets.yaml.tree import Mapping, node_of
from engine.results.estimates import History
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from tui.keys.lab import LAB
from tui.lab import outline
from tui.lab.check import completed, valid
from tui.lab.document import Document, enter, shape_problems
from tui.lab.fields import SECTIONS, fields_of, help_of, problems_at
from tui.lab.text import read
from tui.screens.lab import LabScreen
from tui.widgets.fieldline import note

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
PARTS = 5
"""What is typed into a second field of a kind is one part of these, and into the next another."""


@pytest.mark.parametrize("owner", [*SECTIONS, 0, 1])
def test_whatever_is_typed_ends_in_a_problem_or_a_preset(owner: int | str, tmp_path: Path) -> None:
    document = Document.open(shipped.find("quickstart"))
    history = History(tmp_path)
    kinds = set()
    for number, field in enumerate(fields_of(document.root, owner)):
        kind = (field.row.type, field.row.listable, field.row.default is None)
        for typed in ODD if kind not in kinds else ODD[number % PARTS :: PARTS]:
            root = enter(document.root, field.address, read(field.row, typed))
            checked = valid(root, "q", None, 0)
            if owner in ("model", "data", "study"):  # what the data, the keys and the estimate depend on
                assert completed(checked, history).complete
            assert (checked.spec is None) == bool(checked.problems)
            outline.items(root, checked.problems)
            for again in fields_of(root, owner):
                note(again, "")
                help_of(again)
                problems_at(root, again, checked.problems)
            back = edits.reset(root, field.address)
            assert back.plain() == edits.reset(document.root, field.address).plain()
        kinds.add(kind)


@pytest.mark.parametrize(
    "line", [b"{}", b"[1]", b"\xff\xfe", b'{"event": "planned", "trials": [1]}', b'{"event": 3}']
)
def test_a_study_that_makes_no_sense_is_no_source_of_times(tmp_path: Path, line: bytes) -> None:
    run = RunDir.of(tmp_path, "odd")
    run.path.mkdir(parents=True)
    run.write_status(Status("done", model="resnet20", data="digits", done=1))
    run.events.write_bytes(line + b"\n")
    document = Document.open(shipped.find("quickstart"))
    checked = completed(valid(document.root, "q", None, 0), History(tmp_path))
    assert checked.complete
    assert checked.estimate.seconds is None


def test_every_action_of_the_table_can_be_done() -> None:
    missing = [action.id for action in LAB if not hasattr(LabScreen, f"action_{action.id}")]
    assert missing == []


def test_no_two_actions_share_a_key() -> None:
    keys = [key for action in LAB for key in action.keys]
    assert len(keys) == len(set(keys))


def test_the_tree_of_an_empty_preset_can_be_shown() -> None:
    for plain in ({}, {"steps": None, "sweep": None, "model": None}):
        root = node_of(plain)
        assert isinstance(root, Mapping)
        assert shape_problems(root) == []
        assert outline.items(root)
