"""Widgets drawn as lines of styled text, of which only the spans that changed are sent to the terminal."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from engine.text.tables import cell_width
from tui.patches import letters

Span = tuple[str, str]
"""Text and its role: names of ROLES, attributes (`bold`, `reverse`, `underline`), one colour (`#rrggbb`) and one
behind it (`on#rrggbb`), separated by spaces; an empty role is plain text."""
Line = Sequence[Span]
_Cells = list[tuple[str, Style]]
_STALE: Line = (("", "stale"),)
"""Stands for a line that has to be laid out anew."""

ROLES = {
    "muted": ("muted", None, ""),
    "good": ("good", None, ""),
    "bad": ("bad", None, "bold"),
    "warn": ("warn", None, ""),
    "accent": ("key", None, "bold"),
    "title": (None, None, "bold"),
    "head": ("muted", None, "underline"),
    "cursor": ("cursor-ink", "cursor-back", "cursor-style"),
    "dim-cursor": (None, "panel", "dim-cursor-style"),
    "bar": ("key", None, ""),
}
"""By role: the theme's variables for its colour and background, and its attributes or the variable that has them."""
ATTRIBUTES = ("bold", "reverse", "underline")


class Painted(Widget):
    """Subclasses give `lines(width, height)` and call `redraw` when what they show has changed."""

    # The roles are no component classes: Textual would work out their styles for each widget, whenever it is styled.
    DEFAULT_CSS = "Painted { height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._laid_out_for = (0, 0)
        self._shown: list[Line] = []
        self._strips: list[Strip] = []
        self._cells: list[_Cells] = []
        self._styles: dict[str, Style] = {}

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """What to show on `height` lines of `width` columns."""
        return ()

    def clicked(self, x: int, y: int, times: int) -> None:
        """Something was clicked, where the user's settings turn the mouse on; `times` in a row."""

    def scrolled(self, by: int) -> None:
        """The mouse's wheel was turned, down by 1 or up by -1."""

    def on_click(self, event: events.Click) -> None:
        self.clicked(event.x, event.y, event.chain)

    def on_mouse_scroll_down(self) -> None:
        self.scrolled(1)

    def on_mouse_scroll_up(self) -> None:
        self.scrolled(-1)

    def redraw(self) -> None:
        """Draw again; only what differs from what is on screen is refreshed."""
        if not self.is_mounted or not self.size:
            return
        regions = self._lay_out()
        if regions is None:
            self.refresh()
        elif regions:
            self.refresh(*regions)

    def _lay_out(self) -> list[Region] | None:
        """Bring the strips up to date; the regions that changed, None if that is all of them."""
        width, height = self.size
        if self._laid_out_for != (width, height):
            self._laid_out_for, self._shown = (width, height), []
            self.prepare()
        lines = self.lines(width, height)
        lines = [*lines[:height], *[()] * (height - len(lines))]
        if len(self._shown) != height:
            self._cells = [self._laid_out(line) for line in lines]
            self._strips = [self._strip(cells) for cells in self._cells]
            self._shown = lines
            return None
        regions = []
        for y in range(height):
            if self._shown[y] == lines[y]:
                continue
            cells = self._laid_out(lines[y])
            span = _difference(self._cells[y], cells)
            if span:
                regions.append(Region(span[0], y, span[1] - span[0], 1))
            self._cells[y], self._strips[y] = cells, self._strip(cells)
        self._shown = lines
        return regions

    def render_line(self, y: int) -> Strip:
        if self._laid_out_for != self.size and self.is_mounted:
            self._lay_out()  # painted before the news of the size has come: right at once, and not again then
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def on_resize(self, event: events.Resize) -> None:
        self.redraw()

    def prepare(self) -> None:
        """Called when the size has changed, before `lines`."""

    def on_show(self, event: events.Show) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        # Moving the focus updates the style of everything around: what looks the same is not sent again.
        self._styles.clear()
        self._shown = [_STALE] * len(self._shown)
        self.redraw()

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            style = self.rich_style
            for word in role.split():
                if word in ROLES:
                    style += self._role(word)
                elif word in ATTRIBUTES:
                    style += Style(**{word: True})  # type: ignore[arg-type]
                elif word.startswith("on#"):
                    style += Style(bgcolor=word.removeprefix("on"))
                else:
                    style += Style(color=word)
            self._styles[role] = style
        return style

    def _role(self, name: str) -> Style:
        """What a role adds to the widget's own style, in the theme of now."""
        variables = self.app.theme_variables
        ink, back, attributes = (variables.get(part, part) if part else None for part in ROLES[name])
        return Style.parse(attributes or "none") + Style(
            color=Color.parse(ink).rich_color if ink else None,
            bgcolor=Color.parse(back).rich_color if back else None,
        )

    def _laid_out(self, line: Line) -> _Cells:
        """The line as exactly `width` cells; the second cell of a wide character is empty."""
        width = self.size.width
        cells: _Cells = []
        for text, role in line:
            style = self._style(role)
            text = letters.spelled(text)
            if text.isascii() and text.isprintable():
                cells += [(char, style) for char in text]
                continue
            for char in text:
                columns = cell_width(char)
                if columns:
                    cells.append((char if char.isprintable() else " ", style))
                    cells += [("", style)] * (columns - 1)
                elif cells:  # it joins the one before
                    place = -1 if cells[-1][0] else -2
                    cells[place] = (cells[place][0] + char, cells[place][1])
        if len(cells) > width:
            cells = _cut(cells, width)
        plain = self._style("") if not line or "cursor" not in line[-1][1] else self._style(line[-1][1])
        return cells + [(" ", plain)] * (width - len(cells))

    def _strip(self, cells: _Cells) -> Strip:
        segments: list[Segment] = []
        start = 0
        for i in range(1, len(cells) + 1):
            if i == len(cells) or cells[i][1] is not cells[start][1]:
                segments.append(Segment("".join(char for char, _ in cells[start:i]), cells[start][1]))
                start = i
        return Strip(segments, len(cells))


def _cut(cells: _Cells, width: int) -> _Cells:
    """The first `width` cells, with a mark at their end if text is lost."""
    kept = cells[:width]
    if kept and (any(char.strip() for char, _ in cells[width:]) or cell_width(kept[-1][0]) > 1):
        end = -2 if not kept[-1][0] and width > 1 else -1  # both cells of a wide character go
        kept[end:] = [(letters.spelled("…"), kept[end][1]), (" ", kept[end][1])][:-end]
    return kept


def _difference(before: _Cells, after: _Cells) -> tuple[int, int] | None:
    """First and one past the last cell that differ, widened to whole wide characters."""
    if len(before) != len(after):
        return 0, len(after)
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if not changed:
        return None
    first, last = changed[0], changed[-1] + 1
    while first and (not after[first][0] or not before[first][0]):
        first -= 1
    while last < len(after) and (not after[last][0] or not before[last][0]):
        last += 1
    return first, last
