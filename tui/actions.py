"""The one table of actions: bindings, footer, help screen, palette and the README's key table come from it."""

from textual.binding import Binding, BindingType

from tui.action import EVERYWHERE, Action
from tui.lab.actions import LAB

ACTIONS: tuple[Action, ...] = (*LAB,)


def bindings(where: str) -> list[BindingType]:
    """The key bindings of a screen, or of the app (EVERYWHERE)."""
    return [
        Binding(",".join(a.keys), a.call, a.label, show=a.footer, priority=a.priority, id=f"{a.where or 'app'}.{a.id}")
        for a in ACTIONS
        if a.where == where and a.keys
    ]


__all__ = ["ACTIONS", "EVERYWHERE", "Action", "bindings"]
