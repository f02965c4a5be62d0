"""The modal in which the values of a sweep are written."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.params.rows import Row
from tui.lab.fields import Field
from tui.lab.text import read_sweep, sweep_text, text_of
from tui.widgets.box import Box
from tui.widgets.keyinput import KeyInput
from tui.widgets.keys import Hint, Keys

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
        listed, ranged = examples(row.one)
        with Box(f"Sweep {self._path}"):
            yield Static(f"{row.help} Each value: {row.one.allowed()}.", markup=False)
            yield KeyInput(self._start(), f"such as {listed}   or   {ranged}")
            yield Static("", id="preview", markup=False)
            yield Static(
                f"A list `{listed}`, a range `{ranged}`, or both, with a comma between them. Empty: not swept.",
                markup=False,
            )
            yield Keys(Hint("Enter", "take it", "enter"), Hint("Esc", "cancel", "escape"))

    def on_mount(self) -> None:
        editor = self.query_one(KeyInput)
        editor.focus()
        self._look(editor.value)

    def _start(self) -> str:
        if self._field.axis is not None:
            return sweep_text(self._field.axis.node.plain()).removeprefix("[").removesuffix("]")
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


def examples(row: Row) -> tuple[str, str]:
    """A list and a range of values that the parameter takes, near its default where it has one.

    >>> examples(Row("sparsity", "number", default=0.5, minimum=0, maximum=1, exclusive_maximum=True))
    ('0.25, 0.5, 0.75', '0.25..0.75 by 0.25')
    >>> examples(Row("speedup", "number", minimum=1, exclusive_minimum=True))
    ('2, 3, 4', '2..4 by 1')
    >>> examples(Row("epochs", "integer", default=10, minimum=1))
    ('5, 10, 15', '5..15 by 5')
    """
    values: list[float]
    middle = row.default if isinstance(row.default, int | float) and row.default > 0 else None
    if middle is None:
        low = row.minimum if row.minimum is not None else 1
        values = (
            [low + 1, low + 2, low + 3]
            if row.maximum is None or low + 3 <= row.maximum
            else [0.25, 0.5, 0.75]
        )
    elif row.type == "integer":
        step = max(int(middle) // 2, 1)
        values = [max(int(middle) - step, 1), int(middle), int(middle) + step]
    else:
        values = [middle / 2, middle, middle * 1.5]
    texts = [text_of(value) for value in values]
    return ", ".join(texts), f"{texts[0]}..{texts[2]} by {text_of(values[1] - values[0])}"
