"""A form of declared parameters, a line each, drawn as text; below them what the one under the cursor means.

Nothing changes by itself: Enter begins to edit a value, which is selected then, and what is typed before is no value.
One input takes the keys for all lines and is never seen itself: moving a real one from line to line is a new
layout, for which Textual sends the whole screen (18 kB at 120x40 instead of 300 bytes).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input
from textual.widgets.input import Selection

from engine.presets.steps import Address
from tui.keys.table import bindings
from tui.lab.fields import Field, choice
from tui.lab.text import Default, Typed, read
from tui.widgets import fieldline
from tui.widgets.keyinput import KeyInput
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import clipped

LEAST_HELP = 9
"""Lines kept for the help below the fields, up to half of the form; it has all that the fields leave free."""
PASSED = frozenset("0123456789?!")
"""What may be typed on a field that is not edited: pages, help, the list of problems. Letters are commands in the
outline; here somebody who types them means a value."""


class _Editor(KeyInput):
    """The input of the form; leaving its line is the form's matter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "leave(1, True)", priority=True, show=False),
        Binding("shift+tab", "leave(-1, True)", priority=True, show=False),
        Binding("down", "leave(1)", priority=True, show=False),
        Binding("up", "leave(-1)", priority=True, show=False),
        Binding("enter", "leave(0)", show=False),
        Binding("escape", "give_up", show=False),
        Binding("pageup", "leap(-1)", show=False),
        Binding("pagedown", "leap(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.can_focus = False

    def action_leave(self, by: int, on: bool = False) -> None:
        self._form.leave(by, on=on)

    def action_leap(self, by: int) -> None:
        self._form.leave(0)
        self._form.leap(by)

    def action_give_up(self) -> None:
        self._form.give_up()

    def on_blur(self) -> None:
        if self.screen.focused is not self:
            self.can_focus = False  # Tab walks from pane to pane, and this is none
        self._form.body.redraw()

    @property
    def _form(self) -> "Form":
        assert isinstance(self.parent, Form)
        return self.parent


class _Body(Painted, can_focus=True):
    """The lines; it has the focus while no value is being edited."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("table")

    @property
    def _form(self) -> "Form":
        assert isinstance(self.parent, Form)
        return self.parent

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._form.lines(width, height)

    def clicked(self, x: int, y: int, times: int) -> None:
        self._form.clicked(y)

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Letters that move here do so, pages open; others are told of instead of doing what they do elsewhere."""
        typed = event.character
        if (
            not typed
            or not event.is_printable
            or typed in PASSED
            or event.key in self._bindings.key_to_bindings
        ):
            return
        event.stop()
        self._form.post_message(Form.Mistaken(typed))

    def action_move(self, by: int) -> None:
        self._form.step(by)

    def action_page(self, by: int) -> None:
        self._form.leap(by)

    def action_end(self, to: int) -> None:
        self._form.leap(to * 1000)

    def action_choose(self) -> None:
        self._form.enter()


class Help(NamedTuple):
    """What stands below the fields: what the one under the cursor means, cut where there is no room, and its keys."""

    lines: Sequence[Line]
    keys: Sequence[Line]


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

    class GivenUp(Edited):
        """Escape was pressed while the field was edited; what was `typed` into it before holds again."""

    class Pointed(Message):
        """The cursor stands on another field, or a value begins or ends to be edited."""

    class Entered(Message):
        """Enter was pressed on a field."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    class Mistaken(Message):
        """A letter was typed on a field that is not being edited."""

        def __init__(self, typed: str) -> None:
            super().__init__()
            self.typed = typed

    def __init__(
        self,
        problem_of: Callable[[Field], str],
        help: Callable[[int], "Help"] = lambda width: Help((), ()),
        *,
        id: str | None = None,
    ) -> None:
        """`problem_of` gives what is wrong with a field, or an empty text; `help` the lines below the fields."""
        super().__init__(id=id)
        self._problem_of, self._help = problem_of, help
        self._fields: list[Field] = []
        self._row = 0
        self._top = 0
        self._visible = 0
        """Lines that fields take; the help stands below."""
        self._loaded: Address | None = None
        """The field whose text the input holds."""
        self._offered = ""
        self._before: Typed = Default()
        """What the input held, and what was written in the field, when it was loaded."""

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

    @property
    def editing(self) -> bool:
        """Whether a value is being typed."""
        return self.screen.focused is self.editor

    def show(self, fields: Sequence[Field], *, fresh: bool, typed: bool = False) -> None:
        """Show these fields; `fresh` for those of another form, whose cursor starts at the top.

        `typed`: they differ by nothing but what is being typed, so that the input keeps its text: half typed, a
        value may be written otherwise, or not at all.
        """
        address = None if fresh or self.field is None else self.field.address
        self._fields = list(fields)
        if fresh:
            self._row = self._top = 0
        self._row = max(0, min(self._row, len(self._fields) - 1))
        place = next((i for i, field in enumerate(self._fields) if field.address == address), None)
        moved = address is not None and place is None
        self._row = self._row if place is None else place
        if self.editing and (fresh or moved or not self._is_typed(self.field)):
            self.focus_row()
        if not (typed and self.editing and self.field and self.field.address == self._loaded):
            self._load()
        self.body.redraw()

    def point_at(self, address: Address) -> None:
        """Put the cursor on a field."""
        place = next((i for i, field in enumerate(self._fields) if field.address == address), None)
        if place is not None:
            self._go(place)

    def pending(self) -> tuple[Field, Typed] | None:
        """What was typed and not taken yet: the message of the last key may still be on its way."""
        field = self.field
        if field is None or not self.editing or field.address != self._loaded:
            return None
        value = self.editor.value
        typed = self._before if value == self._offered else read(field.row, value)
        return None if typed == field.typed else (field, typed)

    def focus_row(self) -> None:
        """Give the focus to the lines, with the cursor where it is."""
        self.screen.set_focus(self.body, scroll_visible=False)

    def edit(self) -> None:
        """Begin to edit the value under the cursor, all of it selected."""
        if not self._is_typed(self.field):
            return
        self._load()
        self.editor.can_focus = True
        self.screen.set_focus(self.editor, scroll_visible=False)
        self.editor.selection = Selection(0, len(self.editor.value))
        self.body.redraw()
        self.post_message(self.Pointed())

    def leave(self, by: int, *, on: bool = False) -> None:
        """End the editing with what was typed and go so many fields further; `on`: edit that one, if it is typed."""
        pending = self.pending()
        if pending is not None:
            self.post_message(self.Edited(*pending))
        self.focus_row()
        self.post_message(self.Pointed())
        if by:
            self.step(by)
        if by and on:
            self.edit()

    def give_up(self) -> None:
        """End the editing; the value is what it was before."""
        field = self.field
        self.focus_row()
        if field is not None:
            self.post_message(self.GivenUp(field, self._before))

    def step(self, by: int) -> None:
        """To the next or previous field, if there is one."""
        self._go(max(0, min(self._row + by, len(self._fields) - 1)))

    def clicked(self, y: int) -> None:
        """A click goes to a field; below them is the help."""
        if y < self._visible and self._top + y < len(self._fields):
            if self.editing:
                self.leave(0)
            self._go(self._top + y)
            self.focus_row()

    def leap(self, by: int) -> None:
        """A page up or down."""
        to = self._row + by * max(self.body.size.height - LEAST_HELP - 2, 1)
        self._go(max(0, min(to, len(self._fields) - 1)))

    def _go(self, row: int) -> None:
        if row == self._row or not self._fields:
            return
        self._row = row
        self._load()
        self.body.redraw()
        self.post_message(self.Pointed())

    def enter(self) -> None:
        if self.field is not None:
            self.post_message(self.Entered(self.field))

    def cycle(self, by: int) -> None:
        """Choose the next value of the cursor's choice."""
        field = self.field
        if field is None or not field.cycles:
            return
        names = field.options
        now = names.index(field.current) if field.current in names else -by if by > 0 else 0
        self.post_message(self.Edited(field, choice(field, names[(now + by) % len(names)])))

    def _is_typed(self, field: Field | None) -> bool:
        return field is not None and not field.options and not field.checks

    def _load(self) -> None:
        """Put the field's text into the input."""
        field, editor = self.field, self.editor
        if field is None or not self._is_typed(field):
            self._loaded = None
            return
        self._loaded, self._offered, self._before = field.address, field.offered, field.typed
        with editor.prevent(Input.Changed):
            editor.value = field.offered
            editor.cursor_position = len(field.offered)
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

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """The fields and below them the help, for the body."""
        help, keys = self._help(width)
        told = len(help) + len(keys)
        room = height - min(told, max(height - max(len(self._fields), 1), min(LEAST_HELP, height // 2)))
        rows = self._rows(width, room)
        self._visible = len(rows)
        blank: list[Line] = [()] * (min(room, max(len(self._fields), 1)) - len(rows))
        left = max(height - len(rows) - len(blank), 0)
        return [*rows, *blank, *[*clipped(help, max(left - len(keys), 0), width), *keys][:left]]

    def _rows(self, width: int, height: int) -> list[Line]:
        if not self._fields:
            return [[("  Nothing to set here.", "muted")]]
        self._scroll(height)
        name, value = fieldline.columns(self._fields, width)
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
        if at and self.editing:
            return fieldline.edited_line(field, wrong, self.editor, width, name)
        role = ("cursor" if self.focused else "dim-cursor") if at else ""
        return fieldline.line(field, wrong, role, width, name, value)
