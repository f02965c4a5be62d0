"""Prints the docs' key table from the action table: `python -m tui.keys.markdown`."""

from tui.keys.action import EVERYWHERE, PLACES
from tui.keys.table import ACTIONS, key_text

TITLES = {
    EVERYWHERE: "Everywhere",
    "plot": "In a plot",
    "table": "In a table",
    "text": "In a text",
    "search": "On a search's page",
    **{place.name: place.label for place in PLACES},
}


def markdown() -> str:
    """Every action that has a key, one table a place."""
    parts = []
    for where in dict.fromkeys(action.where for action in ACTIONS):
        rows = [
            f"| {' or '.join(f'`{key_text(key)}`' for key in action.keys)} | {action.help} | `{action.name}` |"
            for action in ACTIONS
            if action.where == where and action.keys
        ]
        parts.append(
            "\n".join([f"**{TITLES[where]}**", "", "| key | what it does | name |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(markdown())
