"""The command palette: every action of the table by its name, those of this screen first."""

import asyncio
from collections.abc import Awaitable, Callable
from pkgutil import resolve_name

from textual.app import App
from textual.widget import Widget

from tui.keys.action import EVERYWHERE, PLACES, Action
from tui.keys.keymap import Keymap
from tui.keys.table import ACTIONS, key_text
from tui.screens.base import BaseScreen
from tui.widgets.picker import Choice, Picker

Go = Callable[[str], Awaitable[None]]
"""Goes to a place by its name, and waits until its screen is there."""
MOVING = "Moving"
"""The group of keys that only move about in a widget."""
READY_WITHIN_S, LOOK_EVERY_S = 2.0, 0.05
LABELS = {place.name: place.label for place in PLACES} | {"plot": "Chart", "table": "List"}
"""Of what can be reached from anywhere. A search's page can't: it is opened over a place that shows its study."""
WIDGETS = {"plot": ("tui.widgets.plot:Plot", "curves"), "table": ("tui.widgets.table:Table", "studies")}
"""Kinds of widgets with actions: their class, and a place that has one, to go to from places without."""


async def show(app: App[None], here: str, go: Go, keys: Keymap) -> None:
    """Open the palette at the place `here`; what is chosen runs where it belongs. `keys` are the user's own."""
    reached = [a for a in ACTIONS if a.where == EVERYWHERE or a.where in LABELS]
    rows = [a for a in reached if a.group != MOVING and a.id != "interrupt"]
    rows.sort(key=lambda a: (a.where != here, a.where != EVERYWHERE, a.where))
    actions = {a.name: a for a in rows if (a.id, a.arguments) != ("leave", "'q'")}
    choices = [
        Choice(name, _label(a), ", ".join(map(key_text, keys.get(name, a.keys))))
        for name, a in actions.items()
    ]

    def chosen(keys: list[str] | None) -> None:
        if keys:
            app.run_worker(_run(app, actions[keys[0]], go))

    await app.push_screen(Picker("Commands", choices, columns=("what it does", "keys")), chosen)


def _label(action: Action) -> str:
    """Its place, its word in the footer, by which it is looked for, and what it does."""
    named = f"{LABELS[action.where]} {action.label}".rstrip() if action.where in LABELS else ""
    return f"{named}: {action.help}" if named else action.help


async def _run(app: App[None], action: Action, go: Go) -> None:
    if action.where == EVERYWHERE:
        await app.run_action(action.call, app)
        return
    if action.where in WIDGETS:
        cls, elsewhere = WIDGETS[action.where]
        kind: type[Widget] = resolve_name(cls)
        if not _shown(app, kind):
            await _ready(app, elsewhere, go)
        await _shown(app, kind)[0].run_action(action.call)
        return
    await _ready(app, action.where, go)
    await app.screen.run_action(action.call)


def _shown(app: App[None], kind: type[Widget]) -> list[Widget]:
    """Those of a kind on screen that can have the focus."""
    return [widget for widget in app.screen.query(kind) if widget.focusable and widget.display]


async def _ready(app: App[None], place: str, go: Go) -> None:
    """Go to a place and wait until there is something to act on, but not for long."""
    await go(place)
    for _ in range(int(READY_WITHIN_S / LOOK_EVERY_S)):
        if not isinstance(app.screen, BaseScreen) or app.screen.ready():
            return
        await asyncio.sleep(LOOK_EVERY_S)
