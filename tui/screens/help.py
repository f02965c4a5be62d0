"""The keys that work on a screen, from the action table."""

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tui.keys.action import EVERYWHERE, Action
from tui.keys.markdown import TITLES
from tui.keys.table import ACTIONS, key_text
from tui.screens.base import BaseScreen
from tui.widgets.box import Box
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Pager, Scrolled
from tui.widgets.painted import Line
from tui.widgets.plot import Plot
from tui.widgets.table import Table
from tui.widgets.wrap import wrapped

KINDS = {"plot": Plot, "table": Table, "text": Scrolled}
"""Widgets with rows of their own in the table."""
KEYS = 20
"""Columns for the keys."""


class Help(ModalScreen[None]):
    """Closed by any of the keys that one would try."""

    DEFAULT_CSS = "Help Box { width: 100%; max-width: 120; height: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f12,enter", "close", "close")]

    def __init__(self, about: BaseScreen) -> None:
        super().__init__()
        self._now, self._elsewhere = _kinds(about)
        self._keymap = about.session.keymap

    def compose(self) -> ComposeResult:
        with Box("Keys that work here"):
            yield Pager(self._lines)
            yield Keys(Hint("Esc", "close", "escape"), Hint("↑ ↓", "scroll"))

    def on_mount(self) -> None:
        self.query_one(Pager).focus()

    def _lines(self, width: int) -> list[Line]:
        now = self._of(self._now, width)
        elsewhere = self._of(self._elsewhere, width)
        if elsewhere:
            now += [(), [("Once Tab has led there", "title")], (), *elsewhere]
        return now

    def _of(self, places: Iterable[str], width: int) -> list[Line]:
        out: list[Line] = []
        for where in places:
            groups = dict.fromkeys(a.group for a in ACTIONS if a.where == where)
            for group in groups:
                named = f"{TITLES[where]}: {group.lower()}" if where in KINDS else group or "Other"
                out += [*([()] if out else []), [(named, "accent")]]
                shown = [
                    self._by_user(a) for a in ACTIONS if a.where == where and a.group == group and a.keys
                ]
                out += [line for action in shown for line in action_lines(action, width)]
        return out

    def _by_user(self, action: Action) -> Action:
        """The action with the keys of the user's own settings."""
        return replace(action, keys=tuple(self._keymap.get(action.name, action.keys)))

    def action_close(self) -> None:
        self.dismiss()


def _kinds(screen: BaseScreen) -> tuple[list[str], list[str]]:
    """Whose rows of the table work now: the screen's own, those of the widget with the focus, and the app's; and those
    of other widgets that can be seen."""
    focused = [kind for kind, widget in KINDS.items() if isinstance(screen.focused, widget)]
    seen = [
        kind for kind, widget in KINDS.items() if any(isinstance(one, widget) for one in screen.focus_chain)
    ]
    return [screen.WHERE, *focused, EVERYWHERE], [kind for kind in seen if kind not in focused]


def action_lines(action: Action, width: int) -> list[Line]:
    """The keys, and beside them what they do, on as many lines as that takes."""
    keys = "  ".join(key_text(key) for key in action.keys)
    first, *rest = wrapped(action.help, max(width - KEYS - 3, 10))
    return [[(f"  {keys:<{KEYS}} ", "bold"), *first], *([(" " * (KEYS + 3), ""), *line] for line in rest)]
