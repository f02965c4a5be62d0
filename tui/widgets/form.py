"""A form of declared parameters, a line each, drawn as text with the value under the cursor being edited.

One input takes the keys for all lines and is never seen itself: moving a real one from line to line is a new
layout, for which Textual sends the whole screen (18 kB at 120x40 instead of 300 bytes).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from engine.presets.steps import Address
from engine.text.phrases import counted
from engine.text.tables import abbreviate, cell_width
from tui.keys.table import bindings
from tui.lab.fields import Field
from tui.lab.text import Default, Fixed, Typed, read
from tui.widgets.keyinput import KeyInput
from tui.widgets.painted import Line, Painted, Span

SIGNS = 3
"""Columns before the name: cursor, what the value is (`*` set, `~` swept, `!` wrong), a space."""
WIDEST_NAME = 24
NARROWEST_VALUE, WIDEST_VALUE = 10, 28


class _Editor(KeyInput):
    """The input of the form; leaving its line is the form's matter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,down", "step(1)", priority=True, show=False),
        Binding("shift+tab,up", "step(-1)", priority=True, show=False),
        Binding("enter", "enter", show=False),
        Binding("pageup", "leap(-1)", show=False),
        Binding("pagedown", "leap(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Backspace on arriving deletes a character, not the value.
        self.select_on_focus = False

    def action_step(self, by: int) -> None:
        self._form.step(by)

    def action_leap(self, by: int) -> None:
        self._form.leap(by)

    def action_enter(self) -> None:
        self._form.enter()

    @property
    def _form(self) -> "Form":
        assert isinstance(self.parent, Form)
        return self.parent


class _Body(Painted, can_focus=True):
    """The lines; it has the focus while the cursor is on a choice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("table"),
        Binding("tab", "step(1)", priority=True, show=False),
        Binding("shift+tab", "step(-1)", priority=True, show=False),
    ]

    @property
    def _form(self) -> "Form":
        assert isinstance(self.parent, Form)
        return self.parent

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._form.lines(width, height)

    def on_focus(self) -> None:
        self._form.focus_row()

    def on_blur(self) -> None:
        self.redraw()

    def action_step(self, by: int) -> None:
        self._form.step(by)

    def action_move(self, by: int) -> None:
        self._form.step(by, stay=True)

    def action_page(self, by: int) -> None:
        self._form.leap(by)

    def action_end(self, to: int) -> None:
        self._form.leap(to * 1000)

    def action_choose(self) -> None:
        self._form.enter()


class Form(Container):
    """Fields, a line each. Values are edited in place; what they mean is for the screen to say."""

    DEFAULT_CSS = """
    Form { layers: behind body; height: 1fr; }
    Form _Body { layer: body; width: 100%; height: 100%; }
    Form _Editor { layer: behind; position: absolute; offset: 0 0; width: 1; height: 1; }
    """

    class Edited(Message):
        """A value was typed or chosen."""

        def __init__(self, field: Field, typed: Typed) -> None:
            super().__init__()
            self.field, self.typed = field, typed

    class Pointed(Message):
        """The cursor stands on another field."""

    class Entered(Message):
        """Enter was pressed on a field."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    class Left(Message):
        """The cursor was moved out: by 1 at the end, by -1 at the beginning."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(self, problem_of: Callable[[Field], str], *, id: str | None = None) -> None:
        """`problem_of` gives what is wrong with a field, or an empty text."""
        super().__init__(id=id)
        self._problem_of = problem_of
        self._fields: list[Field] = []
        self._row = 0
        self._top = 0
        self._loaded: Address | None = None
        """The field whose text the input holds."""

    def compose(self) -> ComposeResult:
        yield _Body()
        yield _Editor()

    @property
    def body(self) -> _Body:
        return self.query_one(_Body)

    @property
    def editor(self) -> _Editor:
        return self.query_one(_Editor)

    @property
    def field(self) -> Field | None:
        """The field under the cursor."""
        return self._fields[self._row] if self._fields else None

    @property
    def focused(self) -> bool:
        return self.screen.focused in (self.body, self.editor)

    def show(self, fields: Sequence[Field], *, fresh: bool) -> None:
        """Show these fields; `fresh` for those of another form, whose cursor starts at the top."""
        focused = self.focused
        address = None if fresh or self.field is None else self.field.address
        self._fields = list(fields)
        if fresh:
            self._row = self._top = 0
        self._row = max(0, min(self._row, len(self._fields) - 1))
        place = next((i for i, field in enumerate(self._fields) if field.address == address), None)
        moved = address is not None and place is None
        self._row = self._row if place is None else place
        self._load(keep=not (fresh or moved))
        if focused:
            self.focus_row()
        self.body.redraw()

    def point_at(self, address: Address) -> None:
        """Put the cursor on a field."""
        place = next((i for i, field in enumerate(self._fields) if field.address == address), None)
        if place is not None:
            self._go(place)

    def pending(self) -> tuple[Field, Typed] | None:
        """What was typed and not taken yet: the message of the last key may still be on its way."""
        field = self.field
        if field is None or field.options or field.address != self._loaded:
            return None
        typed = read(field.row, self.editor.value)
        return None if typed == read(field.row, field.text) else (field, typed)

    def focus_row(self) -> None:
        """Give the focus to what edits the cursor's line."""
        target = self.body if self.field is None or self.field.options else self.editor
        self._load(keep=True)
        if self.screen.focused is not target:
            target.focus()
        self.body.redraw()

    def step(self, by: int, *, stay: bool = False) -> None:
        """To the next or previous field; past the ends out of the form, unless `stay`."""
        to = self._row + by
        if 0 <= to < len(self._fields):
            self._go(to)
        elif not stay:
            self.post_message(self.Left(by))

    def leap(self, by: int) -> None:
        """A page up or down."""
        to = self._row + by * max(self.body.size.height - 2, 1)
        self._go(max(0, min(to, len(self._fields) - 1)))

    def _go(self, row: int) -> None:
        if row == self._row or not self._fields:
            return
        self._row = row
        self._load(keep=False)
        self.focus_row()
        self.post_message(self.Pointed())

    def enter(self) -> None:
        if self.field is not None:
            self.post_message(self.Entered(self.field))

    def cycle(self, by: int) -> None:
        """Choose the next value of the cursor's choice."""
        field = self.field
        if field is None or not field.options:
            return
        names = field.options
        now = names.index(field.current) if field.current in names else -by if by > 0 else 0
        self.post_message(self.Edited(field, choice(field, names[(now + by) % len(names)])))

    def _load(self, *, keep: bool) -> None:
        """Put the field's text into the input; `keep` what is being typed if it means the same."""
        field, editor = self.field, self.editor
        if field is None or field.options:
            self._loaded = None
            return
        same = field.address == self._loaded and read(field.row, editor.value) == read(field.row, field.text)
        self._loaded = field.address
        if not keep or not same:
            with editor.prevent(Input.Changed):
                editor.value = field.text
                editor.cursor_position = len(field.text)
        editor.placeholder = field.default_text

    def on_mount(self) -> None:
        for name in ("value", "selection"):
            self.watch(self.editor, name, self._redraw, init=False)

    def _redraw(self) -> None:
        self.body.redraw()

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        pending = self.pending()
        if pending is not None:
            self.post_message(self.Edited(*pending))

    def _scroll(self, height: int) -> None:
        self._top = max(0, min(self._top, len(self._fields) - height, self._row))
        if self._row >= self._top + height:
            self._top = self._row - height + 1

    def _columns(self, width: int) -> tuple[int, int]:
        """Columns of the name and of the value."""
        names = (cell_width(field.label.rpartition(".")[2]) + 2 * field.depth for field in self._fields)
        name = min(max(names, default=0), WIDEST_NAME, max(width // 2 - SIGNS, 6))
        value = max(NARROWEST_VALUE, min(WIDEST_VALUE, (width - SIGNS - name - 2) // 2))
        return name, value

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The lines of the form, for its body."""
        if not self._fields:
            return [[("  Nothing to set here.", "muted")]]
        self._scroll(height)
        name, value = self._columns(width)
        shown = range(self._top, min(self._top + height, len(self._fields)))
        out = [self._line(i, width, name, value) for i in shown]
        left = len(self._fields) - self._top - height
        if left > 0 and self._row < self._top + height - 1:
            out[-1] = [(f"   ↓ {left + 1} more", "muted")]
        return out

    def _line(self, i: int, width: int, name: int, value: int) -> Line:
        field = self._fields[i]
        wrong = self._problem_of(field)
        at = i == self._row
        if at and self.screen.focused is self.editor:
            return self._edited_line(field, width, name, wrong)
        role = ("cursor" if self.focused else "dim-cursor") if at else ""
        sign = "!" if wrong else "~" if field.axis else "*" if field.given else " "
        label = "  " * field.depth + field.label.rpartition(".")[2]
        text = f"‹ {field.current} ›" if field.options and not field.axis else field.current
        left = width - SIGNS - name - value - 2
        beside = note(field, wrong)
        if cell_width(text) > value and field.options == ():
            # A long text needs the room of the note more than the note does, unless something is wrong.
            value, left = (value, left) if wrong else (width - SIGNS - name - 1, 0)
        text = abbreviate(text, value)
        muted = "" if field.given or at else "muted"
        parts = [
            ("›" if at else " ", f"accent {role}".strip()),
            (sign + " ", f"{'bad' if wrong else 'accent'} {role}".strip()),
            (_fit(label, name) + " ", role),
            (_fit(text, value) + " ", f"{muted} {role}".strip()),
            (_fit(beside, max(left, 0)), f"{'bad' if wrong else '' if at else 'muted'} {role}".strip()),
        ]
        return [(text, look) for text, look in parts]

    def _edited_line(self, field: Field, width: int, name: int, wrong: str) -> Line:
        """The line being typed in: its value has all the room, its help and errors stand below the form."""
        sign = "!" if wrong else "~" if field.axis else "*" if field.given else " "
        label = _fit("  " * field.depth + field.label.rpartition(".")[2], name)
        room = max(width - SIGNS - name - 1, 4)
        before = [
            ("›", "accent cursor"),
            (f"{sign} ", "bad cursor" if wrong else "accent cursor"),
            (f"{label} ", "cursor"),
        ]
        return [*before, *self._typed(room)]

    def _typed(self, room: int) -> list[Span]:
        """The input's text with its cursor and selection in reverse, scrolled so that the cursor is seen."""
        editor = self.editor
        text, place = editor.value, editor.cursor_position
        if not text:
            shown = abbreviate(editor.placeholder, room - 2)
            return [(" ", "reverse"), (f"{shown} ", "muted")]
        start, end = sorted(editor.selection)
        end = max(end, place + 1) if start == end else end
        spans: list[Span] = []
        used = 0
        first = _first_shown(text, place, room)
        for i, letter in enumerate(f"{text} "[first:], first):
            used += cell_width(letter)
            if used > room:
                break
            spans.append((letter, "reverse underline" if start <= i < end else "underline"))
        return spans


def _first_shown(text: str, place: int, room: int) -> int:
    """The first letter to show so that the one at `place` is seen."""
    first = 0
    while cell_width(text[first : place + 1]) + 1 > room and first < place:
        first += 1
    return first


def note(field: Field, wrong: str) -> str:
    """What is said beside a value."""
    if wrong:
        return wrong
    if field.axis is not None:
        values = field.axis.values()
        return f"swept: {counted(len(values), 'value')}" if values else "swept"
    if field.row.type in ("switch", "anything"):
        return ""
    parts = [part for part in (field.row.bounds, field.row.unit) if part]
    if not field.given:
        return ", ".join(["default", *parts])
    return ", ".join([f"default {field.default_text}" if not field.row.required else "required", *parts])


def choice(field: Field, option: str) -> Typed:
    """What choosing an option of a field means."""
    row = field.row
    if row.type == "switch":
        return Fixed({}) if option == "on" else Default()
    if row.type == "yes/no":
        return Fixed(option == "true")
    place = field.options.index(option) - (1 if row.optional else 0)
    return Default() if place < 0 else Fixed(row.choices[place])


def _fit(text: str, width: int) -> str:
    return abbreviate(text, width) + " " * max(width - cell_width(text), 0)
