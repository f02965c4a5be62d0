"""Characters with colours, of which charts in a terminal are made."""

from typing import NamedTuple

from engine.text.tables import cell_width, to_ascii


class Cell(NamedTuple):
    """One character with its colours as `#rrggbb`, or None for the terminal's own."""

    char: str
    fg: str | None = None
    bg: str | None = None


Rows = list[list[Cell]]


def spelled(text: str, ascii_only: bool) -> str:
    """The text with exactly one column a character: what is wider or unprintable becomes `?`."""
    if ascii_only:
        return to_ascii(text)
    return "".join(char if char.isprintable() and cell_width(char) == 1 else "?" for char in text)
