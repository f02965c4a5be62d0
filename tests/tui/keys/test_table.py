from collections import Counter

import pytest

from tui.keys.markdown import markdown
from tui.keys.table import ACTIONS, bindings, key_text
from tui.screens.help import action_lines


def test_no_key_means_two_things_in_one_place() -> None:
    for where in {action.where for action in ACTIONS}:
        keys = Counter(key for action in ACTIONS if action.where == where for key in action.keys)
        assert [key for key, count in keys.items() if count > 1] == []


def test_a_screen_takes_no_letter_that_its_plot_or_table_needs() -> None:
    own = {"studies": ("table",), "curves": ("plot", "table"), "layers": ("table",), "log": ("text",)}
    for screen, widgets in own.items():
        mine = {key for a in ACTIONS if a.where == screen for key in a.keys}
        theirs = {key for a in ACTIONS if a.where in widgets for key in a.keys}
        assert mine & theirs <= {"ctrl+f"}, screen


def test_every_action_has_a_help_sentence_and_a_stable_name() -> None:
    names = [action.name for action in ACTIONS]
    assert len(set(names)) == len(names)
    assert all(action.help.endswith(".") for action in ACTIONS)


def test_bindings_are_made_from_the_table() -> None:
    made = {binding.id: binding for binding in bindings("studies")}  # type: ignore[union-attr]
    assert made["studies.delete"].key == "d,delete"  # type: ignore[union-attr]
    assert made["studies.delete"].action == "delete()"  # type: ignore[union-attr]


def test_the_key_table_names_every_key() -> None:
    text = markdown()
    for action in ACTIONS:
        for key in action.keys:
            assert f"`{key_text(key)}`" in text


def test_keys_are_written_as_signs_not_by_textuals_names() -> None:
    assert not [key for action in ACTIONS for key in action.keys if "_" in key_text(key)]


@pytest.mark.parametrize("width", [40, 80])
def test_help_tells_every_action_whole_in_a_narrow_terminal(width: int) -> None:
    for action in ACTIONS:
        lines = ["".join(text for text, *_ in line) for line in action_lines(action, width)]
        assert all(len(line) <= width for line in lines), lines
        assert " ".join(action.help.split()) in " ".join(" ".join(lines).split())
