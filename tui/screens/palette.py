"""The command palette: every action of the table by its name, those of this screen first."""

from typing import TYPE_CHECKING

from tui.action import PLACES, Action
from tui.actions import ACTIONS, key_text
from tui.widgets.picker import Choice, Picker

if TYPE_CHECKING:
    from tui.app import Lab

WIDGETS = ("table", "plot", "text")
"""Kinds of widgets, whose keys only move about in them."""
LABELS = {place: label for _, place, label in PLACES}


async def show(app: "Lab") -> None:
    """Open the palette; what is chosen runs where it belongs."""
    if len(app.screen_stack) > 1:
        return
    here = app.current_mode
    rows = [a for a in ACTIONS if a.where not in WIDGETS and a.id != "interrupt"]
    rows.sort(key=lambda a: (a.where != here, a.where != "", a.where))
    actions = {a.name: a for a in rows if (a.id, a.arguments) != ("leave", "'q'")}
    choices = [Choice(name, _label(a), ", ".join(map(key_text, a.keys))) for name, a in actions.items()]

    def chosen(keys: list[str] | None) -> None:
        if keys:
            app.run_worker(_run(app, actions[keys[0]]))

    await app.push_screen(Picker("Commands", choices, columns=("what it does", "keys")), chosen)


def _label(action: Action) -> str:
    where = f"{LABELS[action.where]}: " if action.where in LABELS else ""
    return f"{where}{action.help}"


async def _run(app: "Lab", action: Action) -> None:
    if not action.where:
        await app.run_action(action.call, app)
        return
    app.action_go(action.where)
    await app.screen.run_action(action.call)
