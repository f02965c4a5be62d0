"""The modal in which the values of a sweep are written."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.params.rows import Row
from engine.presets.addresses import ABSENT
from tui.lab.fields import Field
from tui.lab.text import read_sweep, sweep_text, text_of
from tui.widgets.box import Box
from tui.widgets.keyinput import KeyInput
from tui.widgets.keys import Hint, Keys

Preview = Callable[[Any], tuple[bool, str]]
"""Whether values can be swept, and what they would be or what is wrong with them."""


COLLECTIONS = ("list", "mapping")
"""Types of which a value has brackets or braces of its own among those of a sweep."""


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
        each = row if row.type in COLLECTIONS else row.one
        with Box(f"Sweep {self._path}"):
            yield Static(f"{row.help} Each value: {each.allowed()}.", markup=False)
            yield KeyInput(self._start())
            yield Static("", id="preview", markup=False)
            yield Static(how_to_write(row), markup=False)
            yield Keys(Hint("Enter", "take it", "enter"), Hint("Esc", "cancel", "escape"))

    def on_mount(self) -> None:
        editor = self.query_one(KeyInput)
        editor.focus()
        self._look(editor.value)

    def _start(self) -> str:
        """What is swept; what holds now, where nothing is."""
        field = self._field
        value = field.row.default if field.value is ABSENT else field.value
        if field.axis is None and field.row.type not in COLLECTIONS:
            return "" if value is None else text_of(value)
        text = field.text if field.axis is not None else sweep_text([value]) if value else ""
        return text if text.startswith("[[") else text.removeprefix("[").removesuffix("]")

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


def how_to_write(row: Row) -> str:
    """How the values of a sweep over the parameter are written, with values that it takes."""
    if row.type == "list":
        return "Each value in brackets, and brackets around them all: `[[a, b], [c]]`. Empty: not swept."
    numbers = row.one.type in ("number", "integer")
    if row.type == "mapping":
        first, second = examples(row.one)[0].split(", ")[:2] if numbers else ("1", "2")
        each = f"{{NAME: {first}}}, {{NAME: {second}}}"
        return f"Each value in braces, with a comma between them: `{each}`. Empty: not swept."
    if not numbers:
        return "Values with a comma between them. Empty: not swept."
    listed, ranged = examples(row.one)
    return f"A list `{listed}`, a range `{ranged}`, or both, with a comma between them. Empty: not swept."


def examples(row: Row) -> tuple[str, str]:
    """A list and a range of three numbers that the parameter takes, around its default where there is room.

    >>> examples(Row("sparsity", "number", default=0.5, minimum=0, maximum=1, exclusive_maximum=True))
    ('0.25, 0.5, 0.75', '0.25..0.75 by 0.25')
    >>> examples(Row("momentum", "number", default=0.9, minimum=0, maximum=1, exclusive_maximum=True))
    ('0.85, 0.9, 0.95', '0.85..0.95 by 0.05')
    >>> examples(Row("speedup", "number", minimum=1, exclusive_minimum=True))
    ('2, 3, 4', '2..4 by 1')
    >>> examples(Row("epochs", "integer", default=1, minimum=1))
    ('1, 2, 3', '1..3 by 1')
    """
    values, step = [0.0], 1.0
    for first, step in _beginnings(row):
        if row.type == "integer":
            first, step = math.ceil(first), max(int(step), 1)
        values = [float(f"{first + step * i:.6g}") for i in range(3)]
        if all(map(row.holds, values)):
            break
    texts = [text_of(value) for value in values]
    return ", ".join(texts), f"{texts[0]}..{texts[-1]} by {text_of(float(f'{step:.6g}'))}"


def _beginnings(row: Row) -> list[tuple[float, float]]:
    """The first value and the step of three values to try, the best first."""
    low = row.minimum if row.minimum is not None else 0
    high = row.maximum if row.maximum is not None else math.inf
    tried: list[tuple[float, float]] = []
    if isinstance(row.default, int | float) and row.default > 0:
        tried = [(row.default - step, step) for step in (row.default / 2, (high - row.default) / 2)]
    tried += [(low + 1, 1), (low + (high - low) / 4, (high - low) / 4), (low, 1)]
    return [(first, step) for first, step in tried if 0 < step < math.inf]
