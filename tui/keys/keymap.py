"""Keys of the user's own: which actions there are to give them to, and what is wrong with them."""

from collections.abc import Mapping
from typing import Any

from textual.keys import _character_to_key

from engine.text.phrases import suggest
from tui.keys.table import ACTIONS, key_text

Keymap = Mapping[str, tuple[str, ...]]
"""Textual's names of keys, by the names of actions."""


def keymap(wanted: Mapping[str, Any]) -> tuple[Keymap, list[str]]:
    """The keys of the settings as Textual names them, and what is wrong: no such action, or a key of another one.

    >>> keymap({"studies.report": ["ctrl+r", "%"]})[0]
    {'studies.report': ('ctrl+r', 'percent_sign')}
    """
    known = {action.name: action for action in ACTIONS}
    problems = [
        f"keys: there is no action {name}; {suggest(name, known) or 'the docs have their names'}"
        for name in wanted
        if name not in known
    ]
    keys = {
        name: tuple(map(_named, [given] if isinstance(given, str) else given))
        for name, given in wanted.items()
        if name in known
    }
    taken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        for key in keys.get(action.name, action.keys):
            other = taken.setdefault((action.where, key), action.name)
            if other != action.name and (action.name in keys or other in keys):
                problems.append(f"keys: {key_text(key)} is both {other} and {action.name}")
    return ({}, problems) if problems else (keys, [])


def _named(key: str) -> str:
    """A key's name for Textual: a sign is spelled out."""
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    return "+".join([*modifiers, _character_to_key(last) if len(last) == 1 else last])
