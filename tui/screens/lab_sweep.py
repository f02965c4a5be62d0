"""The modal in which the values of a sweep are written."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.lab.fields import Field
from tui.lab.text import read_sweep, sweep_text, text_of
from tui.widgets.keyinput import KeyInput

Preview = Callable[[Any], tuple[bool, str]]
"""Whether values can be swept, and what they would be or what is wrong with them."""


class Previewed(Message):
    """What the values typed would be, or what is wrong with them."""

    def __init__(self, typed: str, text: str) -> None:
        super().__init__()
        self.typed, self.text = typed, text


class SweepEditor(ModalScreen[Any]):
    """Gives a list or a range's text, `[]` to end the sweep, or None if Escape was pressed."""

    DEFAULT_CSS = """
    SweepEditor #box { width: 76; max-width: 100%; height: auto; border: round $border; padding: 0 1; }
    SweepEditor Static { height: auto; }
    SweepEditor KeyInput { margin: 1 0; }
    SweepEditor #preview { min-height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, field: Field, path: str, preview: Preview) -> None:
        super().__init__()
        self._field, self._path, self._preview = field, path, preview

    def compose(self) -> ComposeResult:
        row = self._field.row
        with Vertical(id="box"):
            yield Static(f"Sweep {self._path}", markup=False)
            yield Static(f"{row.help} Each value: {row.one.allowed()}.", markup=False)
            yield KeyInput(self._start(), "such as 0, 0.5, 0.9   or   0..0.9 by 0.1")
            yield Static("", id="preview", markup=False)
            yield Static(
                "A list `0, 0.5, 0.9`, a range `0..0.9 by 0.1`, or both: `0, 0.5..0.9 by 0.1`.\n"
                "Enter takes it, empty ends the sweep, Esc cancels.",
                markup=False,
            )

    def on_mount(self) -> None:
        editor = self.query_one(KeyInput)
        editor.focus()
        self._look(editor.value)

    def _start(self) -> str:
        if self._field.axis is not None:
            return sweep_text(self._field.axis.values).removeprefix("[").removesuffix("]")
        return self._field.text or (
            "" if self._field.row.default is None else text_of(self._field.row.default)
        )

    def on_input_changed(self, message: Input.Changed) -> None:
        self._look(message.value)

    @work(thread=True, exclusive=True)
    def _look(self, typed: str) -> None:
        values = read_sweep(self._field.row, typed)
        text = "Not swept." if values == [] else self._preview(values)[1]
        self.post_message(Previewed(typed, text))

    def on_previewed(self, message: Previewed) -> None:
        if self.query_one(KeyInput).value == message.typed:
            self.query_one("#preview", Static).update(message.text)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        values = read_sweep(self._field.row, message.value)
        if values == []:
            self.dismiss([])
            return
        good, text = self._preview(values)
        if good:
            self.dismiss(values)
        else:
            self.query_one("#preview", Static).update(text)

    def action_cancel(self) -> None:
        self.dismiss(None)
