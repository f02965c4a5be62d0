"""The preset's outline as a list with a cursor: sections, steps, sweeps."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from engine.text.tables import abbreviate, cell_width
from tui.keys.table import bindings
from tui.lab.outline import ADD, Item
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import wrapped

LABEL = 9
"""Columns of a section's name; the longest is `Measure`."""
INDENT = "     "
"""Before what goes on below its name."""


class Outline(Painted, can_focus=True):
    """Lines with a cursor. `›` is the cursor, `[x]` a step that runs, `!` something wrong in there."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("table")

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Chosen(Moved):
        """Enter was pressed on a line."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._items: list[Item] = []
        self._cursor = 0
        self._top = 0
        self._owners: list[int] = []
        """Of each line on the terminal, the place of its item."""

    @property
    def item(self) -> Item | None:
        return self._items[self._cursor] if self._items else None

    def fill(self, items: Sequence[Item]) -> None:
        """Show these lines; the cursor stays on its line, or at its height where that is gone."""
        key = self.item.key if self.item else None
        self._items = list(items)
        place = next((i for i, item in enumerate(self._items) if item.key == key), None)
        self._cursor = min(self._cursor, len(self._items) - 1) if place is None else place
        if self._items[self._cursor].heading:
            self._cursor = self._next(self._cursor, -1)
        self.redraw()

    def point_at(self, key: str) -> None:
        """Put the cursor on a line, without a message."""
        self._cursor = next((i for i, item in enumerate(self._items) if item.key == key), self._cursor)
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """A line each; where there is room, what does not fit beside a name goes on below it."""
        free = height - len(self._items)
        if free >= 0:
            blocks = []
            for i in reversed(range(len(self._items))):  # sweeps come last, and have the longest values
                block = self._block(i, width)
                blocks.append(block if len(block) - 1 <= free else [self._line(i, width)])
                free -= len(blocks[-1]) - 1
            blocks.reverse()
            self._owners = [i for i, block in enumerate(blocks) for _ in block]
            return [line for block in blocks for line in block]
        self._top = max(0, min(self._top, len(self._items) - height, self._cursor))
        if self._cursor >= self._top + height:
            self._top = self._cursor - height + 1
        if self._top and self._cursor == self._first:
            self._top = 0
        shown = range(self._top, min(self._top + height, len(self._items)))
        self._owners = list(shown)
        out = [self._line(i, width) for i in shown]
        left = len(self._items) - self._top - height
        if left > 0 and self._cursor < self._top + height - 1:
            out[-1] = [(f"   ↓ {left + 1} more", "muted")]
        return out

    @property
    def _first(self) -> int:
        return next((i for i, item in enumerate(self._items) if not item.heading), 0)

    def _block(self, i: int, width: int) -> list[Line]:
        """A line of the outline with all of its value."""
        item = self._items[i]
        first = self._line(i, width)
        if item.heading or cell_width(item.value) <= width - 3 - cell_width(self._label(item)):
            return [first]
        role = self._cursor_role(i)
        look = f"{'' if role else 'muted'} {role}".strip()
        label = abbreviate(self._label(item), width - 2)
        beside = cell_width(label) <= LABEL
        indent = " " * (LABEL + 3) if beside else INDENT
        rest = [line[0][0] for line in wrapped(item.value, width - 1, look, indent)]
        head = [first[0], (f"{label} ", role)]
        if beside:
            head.append((rest.pop(0)[len(indent) :], look))
        lines: list[Line] = [head, *([(text, look)] for text in rest)]
        return [[*line, (" " * (width - sum(cell_width(text) for text, _ in line)), role)] for line in lines]

    def _cursor_role(self, i: int) -> str:
        """How the cursor's line looks; empty for the others."""
        return ("cursor" if self.has_focus else "dim-cursor") if i == self._cursor else ""

    def _line(self, i: int, width: int) -> Line:
        item = self._items[i]
        if item.heading:
            return [(f"  {item.label}", "head")]
        at = i == self._cursor
        role = self._cursor_role(i)
        sign = ("›" if at else " ") + ("!" if item.problems else " ")
        label = self._label(item)
        room = max(width - 3 - cell_width(label), 0)
        value = abbreviate(item.value, room) if room > 3 else ""
        gap = " " * max(width - 3 - cell_width(label) - cell_width(value), 0)
        look = f"bad {role}" if item.problems else f"accent {role}"
        lines = f"{'muted' if not at else ''} {role}".strip()
        return [(sign, look.strip()), (f"{abbreviate(label, width - 2)} ", role), (value + gap, lines)]

    def _label(self, item: Item) -> str:
        if item.key.startswith("step:"):
            return f"{int(item.key[5:]) + 1} [{' ' if item.off else 'x'}] {item.label}"
        if item.key.startswith("axis:"):
            return f"~ {item.label}"
        if item.key == ADD:
            return f"+ {item.label}"
        return item.label.ljust(LABEL)

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def _next(self, start: int, by: int) -> int:
        """The nearest line from `start` in a direction that is no heading, else the nearest in the other."""
        for step in (by, -by):
            place = start + step
            while 0 <= place < len(self._items):
                if not self._items[place].heading:
                    return place
                place += step
        return start

    def _move(self, to: int) -> None:
        to = max(0, min(to, len(self._items) - 1))
        if self._items[to].heading:
            to = self._next(to, 1 if to > self._cursor else -1)
        if to != self._cursor:
            self._cursor = to
            self.redraw()
            self.post_message(self.Moved(self._items[to]))

    def clicked(self, x: int, y: int, times: int) -> None:
        """A click goes to a line, a second one opens it."""
        if y < len(self._owners):
            self._move(self._owners[y])
            if times > 1:
                self.action_choose()

    def action_move(self, by: int) -> None:
        self._move(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._move(self._cursor + by * max(self.size.height - 2, 1))

    def action_end(self, to: int) -> None:
        self._move(0 if to < 0 else len(self._items) - 1)

    def action_choose(self) -> None:
        if self.item is not None:
            self.post_message(self.Chosen(self.item))
