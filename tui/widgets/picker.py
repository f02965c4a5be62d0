"""A modal list to choose from, narrowed down by typing."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.fuzzy import FuzzySearch
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.text.tables import cell_width
from tui.widgets.box import Box
from tui.widgets.keyinput import KeyInput
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Builder, Pager
from tui.widgets.table import Column, Row, Table
from tui.widgets.wrap import wrapped


@dataclass(frozen=True)
class Choice:
    """Something to choose: its key, what it is called, and a word about it."""

    key: str
    label: str
    about: str = ""


Preview = Callable[[str], Builder]
"""What is told of a choice, by its key. It may read files: it is called in a thread."""
RESTS_S = 0.1
"""Seconds that the cursor stands on a choice before its preview is made."""
AROUND, LEAST_HEIGHT, MOST_HEIGHT = 12, 18, 40
"""Lines of the box beside the list's rows (a long `about` among them), and its bounds."""
LONG = 40
"""Columns of what is said of a choice beyond which its line may cut it."""
FILE = re.compile(r"\.(py|ya?ml)(:\w*)?$")
"""How what is typed ends when it names a file, or a function in one."""
LONGEST_LABEL = 80
"""Characters of a label that letters are looked for in; the time that takes grows fast with them."""


def best_first(choices: Sequence[Choice], text: str) -> list[Choice]:
    """The choices that `text` may mean, the likeliest first: called so, beginning so, holding it, said to be so, and
    last those whose labels have its letters in this order. All, as they are, where nothing is typed.

    >>> names = ["effective_macs", "macs", "mobilenet_v3_small", "params"]
    >>> [choice.key for choice in best_first([Choice(name, name) for name in names], "macs")]
    ['macs', 'effective_macs']
    >>> [choice.key for choice in best_first([Choice(name, name) for name in names], "mbv3s")]
    ['mobilenet_v3_small']
    """
    wanted = text.lower().strip()
    if not wanted:
        return list(choices)
    letters = FuzzySearch()
    ranked = [(_fit(choice, wanted, letters), choice) for choice in choices]
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    return [choice for fit, choice in ranked if fit > (0, 0.0)]


def _fit(choice: Choice, wanted: str, letters: FuzzySearch) -> tuple[int, float]:
    """How well a choice fits what was typed; (0, 0.0) if not at all."""
    label = choice.label.lower()
    end = re.split(r"[./]", label)[-1]
    words = wanted.split()
    kinds = (
        label == wanted,
        end == wanted,
        label.startswith(wanted),
        end.startswith(wanted),
        wanted in label,
        all(word in label for word in words),
        all(word in f"{label} {choice.about.lower()}" for word in words),
    )
    if any(kinds):
        return len(kinds) - kinds.index(True), 0.0
    return 0, letters.match("".join(words), label[:LONGEST_LABEL])[0]


class Picker(ModalScreen[list[str] | None]):
    """Gives the keys chosen: one, or with `several` all that are marked; None if Escape was pressed.

    Enter takes and Escape gives up, always. With `several`, Space marks; Enter takes what is marked, and what was
    searched for with it. With `own`, what was typed can be taken as it is. With a `preview`, what it tells of the
    choice under the cursor stands beside the list, or below it on a narrow terminal.
    """

    DEFAULT_CSS = """
    Picker Box { height: 90%; }
    Picker.-wide Box, Picker.-huge Box { width: 100; }
    Picker Box.-previewed { width: 100%; max-width: 160; }
    Picker #about { height: auto; max-height: 6; color: $muted; }
    Picker #panes { height: 1fr; }
    Picker #panes Table { width: 1fr; }
    Picker #preview { height: 40%; border-top: solid $border; }
    Picker.-wide #panes, Picker.-huge #panes { layout: horizontal; }
    Picker.-wide #preview, Picker.-huge #preview {
        width: 45%; height: 1fr; border-top: none; border-left: solid $border; padding: 0 1; margin: 0 0 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel"),
        Binding("up,ctrl+p", "move(-1)", priority=True, show=False),
        Binding("down,ctrl+n", "move(1)", priority=True, show=False),
        Binding("pageup", "page(-1)", priority=True, show=False),
        Binding("pagedown", "page(1)", priority=True, show=False),
        Binding("shift+up", "scroll_preview(-1)", priority=True, show=False),
        Binding("shift+down", "scroll_preview(1)", priority=True, show=False),
        Binding("tab", "mark", priority=True, show=False),
        Binding("shift+tab", "stay", priority=True, show=False),
    ]

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        chosen: Sequence[str] = (),
        *,
        several: bool = False,
        columns: tuple[str, str] = ("name", ""),
        about: str = "",
        own: str = "",
        preview: Preview | None = None,
    ) -> None:
        """`about` stands above the list; `own` says what may be typed that is not in it."""
        super().__init__()
        self._preview = preview or (
            self._whole if any(cell_width(choice.about) > LONG for choice in choices) else None
        )
        self._previews: dict[str, Builder] = {}
        self._about, self._own = about, own
        self._title, self._choices, self._chosen, self._several = title, choices, list(chosen), several
        self._columns = [Column(columns[0], rank=1, widest=80), Column(columns[1], rank=2, widest=60)]

    def compose(self) -> ComposeResult:
        with Box(self._title, classes="-previewed" if self._preview else ""):
            if self._about:
                yield Static(self._about, id="about", markup=False)
            yield _Search(placeholder="type to search" + (f", or {self._own}" if self._own else ""))
            with Container(id="panes"):
                yield Table(self._columns, "Nothing matches.", checks=self._several)
                if self._preview:
                    yield Pager(id="preview")
            yield Keys(
                *([Hint("Space", "mark", "space")] if self._several else []),
                Hint("Enter", "take the marked" if self._several else "choose", "enter"),
                Hint("Esc", "cancel", "escape"),
                Hint("↑ ↓", "move"),
                *([Hint("Shift-↑ ↓", "preview")] if self._preview else []),
            )

    def on_mount(self) -> None:
        table = self.query_one(Table)
        table.can_focus = False
        if self._preview:
            self.query_one("#preview").can_focus = False
        # No higher than the list, and what stands around it: a short list looks lost in a high box.
        self.query_one(Box).styles.max_height = min(
            max(len(self._choices) + AROUND, LEAST_HEIGHT), MOST_HEIGHT
        )
        self._fill("")
        if self._several:
            table.marked = set(self._chosen)
        elif self._chosen:
            table.move_to(self._chosen[0])
        self.query_one(KeyInput).focus()

    def _whole(self, key: str) -> Builder:
        """What is said of a choice, which its line may cut."""
        choice = next((one for one in self._choices if one.key == key), Choice(key, key))
        return lambda width: [*wrapped(choice.label, width, "title"), *wrapped(choice.about, width)]

    def _fill(self, text: str) -> None:
        table = self.query_one(Table)
        marked = set(table.marked)
        found, typed = best_first(self._choices, text), text.strip()
        if self._own and typed and typed not in (choice.key for choice in found):
            # A file's name is meant as it is, whatever has its letters somewhere.
            found.insert(0 if FILE.search(typed) else len(found), Choice(typed, typed, "as you typed it"))
        table.fill(Row(c.key, (c.label, (c.about, "muted"))) for c in found)
        table.marked = marked

    def on_input_changed(self, message: Input.Changed) -> None:
        """What fits best is what Enter takes, wherever the cursor was."""
        self._fill(message.value)
        if message.value.strip():
            self.query_one(Table).move_to_first()

    def on_input_submitted(self) -> None:
        table = self.query_one(Table)
        if self._several:
            searched = {table.key} if self.query_one(KeyInput).value.strip() else set()
            taken = table.marked | searched
            self.dismiss([choice.key for choice in self._choices if choice.key in taken])
        elif table.key is not None:
            self.dismiss([table.key])

    @on(Table.Moved)
    def _pointed(self) -> None:
        if self._preview is not None:
            self._tell(self._preview)

    @work(exclusive=True, group="preview")
    async def _tell(self, preview: Preview) -> None:
        """Show the preview of the choice under the cursor once it rests there; keys never wait for it."""
        key, pane = self.query_one(Table).key, self.query_one("#preview", Pager)
        if key is not None and key not in self._previews:
            await asyncio.sleep(RESTS_S)
            self._previews[key] = await asyncio.to_thread(preview, key)
        pane.action_end(-1)
        pane.show(self._previews[key] if key is not None else lambda width: ())

    def action_scroll_preview(self, by: int) -> None:
        if self._preview is not None:
            self.query_one("#preview", Pager).action_move(by)

    def action_mark(self) -> None:
        """Mark the row or take its mark away, and search for the next from the beginning."""
        table, search = self.query_one(Table), self.query_one(KeyInput)
        if self._several and table.key is not None:
            table.marked ^= {table.key}
            search.value = ""
            table.redraw()

    def on_table_chosen(self) -> None:
        """A row was clicked twice."""
        if self._several:
            self.action_mark()
        else:
            self.on_input_submitted()

    def action_move(self, by: int) -> None:
        self.query_one(Table).action_move(by)

    def action_page(self, by: int) -> None:
        self.query_one(Table).action_page(by)

    def action_stay(self) -> None:
        """Shift-Tab leads nowhere else here."""

    @property
    def several(self) -> bool:
        """Whether any number of them can be chosen."""
        return self._several

    def action_cancel(self) -> None:
        self.dismiss(None)


class _Search(KeyInput):
    """The words looked for; where several are chosen, Space marks."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "mark", show=False)]

    def action_mark(self) -> None:
        assert isinstance(self.screen, Picker)
        if self.screen.several:
            self.screen.action_mark()
        else:
            self.insert_text_at_cursor(" ")
