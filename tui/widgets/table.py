"""A table with a cursor and marks; drawn line by line, of 1,000 rows only those in view."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.binding import BindingType
from textual.message import Message

from engine.text.tables import abbreviate, cell_width
from tui.keys.table import bindings
from tui.widgets.painted import Line, Painted, Span

GAP = 2
"""Columns between two columns of the table."""
NARROWEST, WHOLE = 9, 14
"""Columns below which an abbreviated text says nothing: in a column that may go, and in one that stays."""
WHEEL = 3
"""Rows that a turn of the mouse's wheel goes."""
KEPT = 4
"""Columns of this rank and below stay as long as the texts beside them can be cut short."""
Cell = str | Span | Callable[[int], Span]
"""A text, a text with its role, or what draws one as wide as its column came out (a bar)."""


@dataclass(frozen=True)
class Column:
    """A column; numbers (`right`) are shown whole or not at all, texts may be abbreviated.

    `rank` decides what goes first where there is no room: the highest; 0 stays.
    """

    label: str
    align: Literal["left", "right"] = "left"
    rank: int = 0
    widest: int = 40

    @property
    def name(self) -> str:
        """The label without the arrow of a column that is sorted by."""
        return self.label.rstrip("↓↑")


@dataclass(frozen=True)
class Row:
    """`key` identifies the row when the table is filled anew."""

    key: str
    cells: tuple[Cell, ...]


class Table(Painted, can_focus=True):
    """Rows under headers. The cursor row is marked by `›`, marked rows by `*`: never by colour alone.

    A `›` at the right end of the headers says that there are columns for which there is no room.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("table")

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, table: "Table", key: str | None) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> "Table":
            return self.table

    class Chosen(Moved):
        """Enter was pressed on a row."""

    class ColumnsWanted(Message):
        """Other columns are to be shown; which is for the screen to ask."""

        def __init__(self, table: "Table") -> None:
            super().__init__()
            self.table = table

    def __init__(
        self,
        columns: Sequence[Column],
        empty: str = "Nothing here yet.",
        *,
        id: str | None = None,
        checks: bool = False,
    ) -> None:
        """`checks`: marks are boxes, `[x]` and `[ ]`, as in a list to choose several of."""
        super().__init__(id=id)
        self._checks = checks
        self.columns = tuple(columns)
        self.empty = empty
        self.marked: set[str] = set()
        self.hidden: frozenset[str] = frozenset()
        """Labels of columns that are not to be shown, whatever room there is."""
        self._rows: list[Row] = []
        self._natural: list[int] = []
        self._cursor = 0
        self._top = 0

    @property
    def key(self) -> str | None:
        """The key of the cursor's row."""
        return self._rows[self._cursor].key if self._rows else None

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def fill(self, rows: Iterable[Row], columns: Sequence[Column] | None = None) -> None:
        """Show these rows; the cursor stays on its row if that is still there."""
        key = self.key
        if columns is not None:
            self.columns = tuple(columns)
        self._rows = list(rows)
        self.marked &= {row.key for row in self._rows}
        place = next((i for i, row in enumerate(self._rows) if row.key == key), None)
        self._cursor = min(self._cursor, max(len(self._rows) - 1, 0)) if place is None else place
        self._natural = self._widths_wanted()
        self.redraw()
        if self.key != key:
            self.post_message(self.Moved(self, self.key))

    def clicked(self, x: int, y: int, times: int) -> None:
        """A click goes to a row, a second one opens it."""
        place = self._top + y - 1
        if y > 0 and place < len(self._rows):
            self._move(place - self._cursor)
            if times > 1:
                self.post_message(self.Chosen(self, self.key))

    def scrolled(self, by: int) -> None:
        self._move(WHEEL * by)

    def move_to_first(self) -> None:
        """Put the cursor on the first row."""
        self._move(-self._cursor)

    def move_to(self, key: str) -> None:
        """Put the cursor on the row with this key, if there is one."""
        for i, row in enumerate(self._rows):
            if row.key == key:
                self._move(i - self._cursor)

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if not self._rows:
            return [[(self.empty, "muted")]]
        room = max(height - 1, 1)
        self._top = max(0, min(self._top, len(self._rows) - room, self._cursor))
        if self._cursor >= self._top + room:
            self._top = self._cursor - room + 1
        before = " " * cell_width(self._sign(marked=False))
        shown = self._fitted(width - 1 - len(before))
        cut = len(shown) < len(self._wanted())
        if cut:
            shown = self._fitted(width - 1 - len(before) - GAP)
        head = [(f" {before}", "head"), *self._line([c.label for c in self.columns], shown, "head")]
        used = sum(cell_width(text) for text, _ in head)
        more = "›" if cut else ""
        out: list[Line] = [[*head, (" " * max(width - used - len(more), 0) + more, "head")]]
        for i in range(self._top, min(self._top + room, len(self._rows))):
            out.append(self._row_line(i, shown))
        return out

    def _row_line(self, i: int, shown: list[tuple[int, int]]) -> Line:
        row = self._rows[i]
        at = i == self._cursor
        role = ("cursor" if self.has_focus else "dim-cursor") if at else ""
        sign = ("›" if at else " ") + self._sign(marked=row.key in self.marked)
        return [(sign, f"accent {role}".strip()), *self._line(row.cells, shown, role)]

    def _sign(self, *, marked: bool) -> str:
        if self._checks:
            return "[x] " if marked else "[ ] "
        return "*" if marked else " "

    def _line(self, cells: Sequence[Cell], shown: list[tuple[int, int]], role: str) -> Iterable[Span]:
        for place, (column, width) in enumerate(shown):
            text, own = spanned(cells[column], width) if column < len(cells) else ("", "")
            text = abbreviate(text, width)
            space = " " * (width - cell_width(text))
            text = space + text if self.columns[column].align == "right" else text + space
            gap = " " * GAP if place + 1 < len(shown) else ""
            yield text + gap, f"{own} {role}".strip()

    def _widths_wanted(self) -> list[int]:
        wanted = [cell_width(column.label) for column in self.columns]
        for row in self._rows:
            for i, cell in enumerate(row.cells):
                drawn = self.columns[i].widest if callable(cell) else cell_width(spanned(cell)[0])
                wanted[i] = max(wanted[i], drawn)
        return [
            min(w, c.widest) if c.align == "left" else w for w, c in zip(wanted, self.columns, strict=True)
        ]

    def _fitted(self, width: int) -> list[tuple[int, int]]:
        """Index and width of the columns shown.

        Texts of low rank shrink first, then columns of a rank above KEPT go, then the texts that stay shrink.
        """
        kept = self._wanted()
        while True:
            widths = {i: self._natural[i] for i in kept}
            room = width - GAP * (len(kept) - 1)
            ranked = [i for i in kept if self.columns[i].rank]
            self._shrink(widths, room, ranked)
            last = max(ranked, key=lambda i: self.columns[i].rank, default=None)
            if last is None or self.columns[last].rank <= KEPT:
                self._shrink(widths, room, kept)
            if last is None or sum(widths.values()) <= room:
                return list(widths.items())
            kept.remove(last)

    def _wanted(self) -> list[int]:
        """The columns that are not hidden; never none."""
        found = [i for i, column in enumerate(self.columns) if column.name not in self.hidden]
        return found or list(range(len(self.columns)))

    def _shrink(self, widths: dict[int, int], room: int, columns: list[int]) -> None:
        """Take columns from the widest of these texts until all fit or none can give any."""
        while sum(widths.values()) > room:
            texts = [i for i in columns if self.columns[i].align == "left" and widths[i] > self._least(i)]
            if not texts:
                return
            widths[max(texts, key=lambda i: widths[i])] -= 1

    def _least(self, column: int) -> int:
        share = WHOLE if self.columns[column].rank == 0 else NARROWEST
        return min(self._natural[column], max(share, cell_width(self.columns[column].label)))

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def _move(self, by: int) -> None:
        if not self._rows:
            return
        before = self._cursor
        self._cursor = max(0, min(self._cursor + by, len(self._rows) - 1))
        if self._cursor != before:
            self.redraw()
            self.post_message(self.Moved(self, self.key))

    def action_move(self, by: int) -> None:
        self._move(by)

    def action_page(self, by: int) -> None:
        self._move(by * max(self.size.height - 2, 1))

    def action_end(self, to: int) -> None:
        self._move(to * len(self._rows))

    def action_columns(self) -> None:
        self.post_message(self.ColumnsWanted(self))

    def action_choose(self) -> None:
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def action_mark(self) -> None:
        """Mark the cursor's row, or take its mark away, and go on to the next."""
        if self.key is not None:
            self.marked ^= {self.key}
            self._move(1)
            self.redraw()


def spanned(cell: Cell, width: int = 0) -> Span:
    """A cell's text and role, in a column of this width."""
    if callable(cell):
        return cell(width)
    return (cell, "") if isinstance(cell, str) else cell
