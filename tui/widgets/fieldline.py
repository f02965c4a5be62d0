"""One field as a line of the form: its sign, its name, its value and a note, or the text being typed."""

from collections.abc import Iterable

from textual.widgets import Input

from engine.text.phrases import counted
from engine.text.tables import abbreviate, cell_width
from tui.lab.fields import Field
from tui.lab.text import text_of
from tui.widgets.painted import Line, Span

SIGNS = 3
"""Columns before the name: cursor, what the value is (`*` set, `~` swept, `!` wrong), a space."""
WIDEST_NAME = 24
NARROWEST_VALUE, WIDEST_VALUE = 10, 28


def columns(fields: Iterable[Field], width: int) -> tuple[int, int]:
    """Columns of the name and of the value."""
    names = (cell_width(_label(field)) for field in fields)
    name = min(max(names, default=0), WIDEST_NAME, max(width // 2 - SIGNS, 6))
    return name, max(NARROWEST_VALUE, min(WIDEST_VALUE, (width - SIGNS - name - 2) // 2))


def line(field: Field, wrong: str, role: str, width: int, name: int, value: int) -> Line:
    """A field that is not being edited; `role` is the cursor's, empty for lines without it."""
    text = value_text(field)
    left = width - SIGNS - name - value - 2
    beside = note(field, wrong)
    if not wrong and cell_width(beside) > left:
        beside = ""  # half of a bound says something else
    if cell_width(text) > value and field.options == ():
        # A long text needs the room of the note more than the note does, unless something is wrong.
        value, left = (value, left) if wrong else (width - SIGNS - name - 1, 0)
    muted = "" if field.given or role else "muted"
    return [
        ("›" if role else " ", f"accent {role}".strip()),
        (_sign(field, wrong) + " ", f"{'bad' if wrong else 'accent'} {role}".strip()),
        (_fit(_label(field), name) + " ", role),
        (_fit(abbreviate(text, value), value) + " ", f"{muted} {role}".strip()),
        (_fit(beside, max(left, 0)), f"{'bad' if wrong else '' if role else 'muted'} {role}".strip()),
    ]


def edited_line(field: Field, wrong: str, editor: Input, width: int, name: int) -> Line:
    """The field being edited: what is typed has all the room, its help and errors stand below the form."""
    before = [
        ("›", "accent cursor"),
        (f"{_sign(field, wrong)} ", "bad cursor" if wrong else "accent cursor"),
        (f"{_fit(_label(field), name)} ", "cursor"),
    ]
    return [*before, *_typed(editor, max(width - SIGNS - name - 1, 4))]


def _sign(field: Field, wrong: str) -> str:
    return "!" if wrong else "~" if field.axis else "*" if field.given else " "


def _label(field: Field) -> str:
    return "  " * len(field.groups) + field.name


def value_text(field: Field) -> str:
    """The value that holds, as it is drawn: between arrows where it can be turned, a box where it is on or off."""
    if field.axis is not None:
        return ", ".join(map(text_of, field.axis.values())) if field.options else field.current
    if field.toggles:
        return f"[{'x' if field.current in ('on', 'true') else ' '}] {field.current}"
    return f"‹ {field.current} ›" if field.options else field.current


def _typed(editor: Input, room: int) -> list[Span]:
    """The input's text with its cursor and selection in reverse, scrolled so that the cursor is seen."""
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
        return f"by {field.settled}" if field.settled and not field.given else ""
    parts = [part for part in (field.row.bounds, field.row.unit) if part]
    if not field.given:
        return ", ".join(parts) or "default"
    return ", ".join([f"default {field.default_text}" if not field.row.required else "required", *parts])


def _fit(text: str, width: int) -> str:
    return abbreviate(text, width) + " " * max(width - cell_width(text), 0)
