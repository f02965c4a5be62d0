"""Keys wait for a dialog that opens, however long a busy machine needs for that."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tui.patches import keyorder
from tui.widgets.keyinput import KeyInput

GIVE_UP_S = 0.01


class Slow(ModalScreen[None]):
    """Opens once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_open = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield KeyInput("")

    async def on_mount(self) -> None:
        await self.may_open.wait()
        self.query_one(KeyInput).focus()


class Asking(keyorder.KeyOrder, App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "ask", "ask")]

    def action_ask(self) -> None:
        self.push_screen(Slow())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


async def test_what_is_typed_while_a_dialog_opens_is_typed_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyorder, "GIVE_UP_S", GIVE_UP_S)
    app = Asking()
    async with app.run_test():
        app.post_message(events.Key("x", "x"))
        await until(lambda: isinstance(app.screen, Slow))
        dialog = app.screen
        assert isinstance(dialog, Slow)
        for key in "abc":
            app.post_message(events.Key(key, key))
            await asyncio.sleep(5 * GIVE_UP_S)  # longer than any mark is waited for
        dialog.may_open.set()
        await until(lambda: bool(dialog.query_one(KeyInput).value))
        await until(lambda: not app.handling)
        assert dialog.query_one(KeyInput).value == "abc"
