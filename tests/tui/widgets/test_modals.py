"""Modals by mouse: what is offered at their foot or as an answer can be clicked, and does what its key does."""

from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import ModalScreen

from tui import themes
from tui.widgets.confirm import Ask, Confirm, Notice, Prompt
from tui.widgets.painted import Painted
from tui.widgets.picker import Choice, Picker
from tui.widgets.table import Table


class Asking(App[None]):
    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS


async def click(pilot: Pilot[Any], word: str) -> None:
    """Click on a word of one of the painted widgets."""
    for widget in pilot.app.screen.query(Painted):
        for y in range(widget.size.height):
            if word in (text := widget.render_line(y).text):
                assert await pilot.click(widget, offset=(text.index(word) + 1, y))
                return
    raise AssertionError(f"{word} is nowhere")


CASES: list[tuple[ModalScreen[Any], str, object]] = [
    (Confirm("Delete it?", "It is gone then.", "Delete", "Keep"), "y Delete", True),
    (Confirm("Delete it?", "It is gone then.", "Delete", "Keep"), "n Keep", False),
    (Ask("It runs already", "Both?", {"a": "after it", "b": "beside it"}, first="a"), "beside it", "b"),
    (Ask("It runs already", "Both?", {"a": "after it", "b": "beside it"}, first="a"), "means a", "a"),
    (Ask("It runs already", "Both?", {"a": "after it", "b": "beside it"}), "none of them", ""),
    (Notice("Oh", "It went wrong."), "close", None),
    (Prompt("Name?", "resnet"), "accept", "resnet"),
    (Prompt("Name?", "resnet"), "cancel", None),
    (Picker("Which?", [Choice("a", "first"), Choice("b", "second")]), "choose", ["a"]),
    (Picker("Which?", [Choice("a", "first")]), "cancel", None),
]


@pytest.mark.parametrize(("modal", "word", "answer"), CASES, ids=lambda part: str(part)[:20])
async def test_what_is_offered_can_be_clicked(modal: ModalScreen[Any], word: str, answer: object) -> None:
    answers: list[object] = []
    async with Asking().run_test(size=(80, 24)) as pilot:
        await pilot.app.push_screen(modal, answers.append)
        await pilot.pause()
        await click(pilot, word)
        await pilot.pause()
    assert answers == [answer]


async def test_an_answer_longer_than_the_box_is_broken_into_lines_and_taken_by_a_click_on_any() -> None:
    long = {"a": "after it: " + "one study after the other, " * 4 + "the end", "b": "beside it"}
    for word, answer in (("the end", "a"), ("beside it", "b")):
        answers: list[object] = []
        async with Asking().run_test(size=(80, 24)) as pilot:
            await pilot.app.push_screen(Ask("It runs already", "Both?", long), answers.append)
            await pilot.pause()
            await click(pilot, word)
            await pilot.pause()
        assert answers == [answer]


async def test_a_second_click_on_a_choice_takes_it() -> None:
    answers: list[object] = []
    async with Asking().run_test(size=(80, 24)) as pilot:
        await pilot.app.push_screen(
            Picker("Which?", [Choice("a", "first"), Choice("b", "second")]), answers.append
        )
        await pilot.pause()
        assert await pilot.click(Table, offset=(5, 2), times=2)
        await pilot.pause()
    assert answers == [["b"]]
