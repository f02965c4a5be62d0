"""Text tables that fit a width: cells cut where they must be, numbers to the right."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from engine.text.ascii import SIGNS, SPELLED
from engine.text.visible import printable

Align = Literal["left", "right", "whole"]
"""How a column stands: text, numbers, or names that have to be typed, which are text that is never cut."""


NARROWEST = 8
"""Columns below which an abbreviated text column says nothing any more."""


def to_ascii(text: str) -> str:
    """The same text for terminals that show ASCII only: `×` → `x`, `±` → `+-`, accents dropped, else `?`."""
    spelled = "".join(SPELLED.get(letter) or SIGNS.get(letter, letter) for letter in text)
    letters = (
        letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter)
    )
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def cell_width(text: str) -> int:
    """Columns a terminal needs for the text: 2 for wide characters, 0 for combining ones."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(_letter_width(letter) for letter in text)


def abbreviate(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most `width` columns, its end replaced by an ellipsis where it does not fit."""
    if cell_width(text) <= width:
        return text
    if width <= len(ellipsis):
        return ellipsis[: max(width, 0)]
    kept = ""
    for letter in text:
        if cell_width(kept + letter) > width - len(ellipsis):
            break
        kept += letter
    return kept + ellipsis


def path_ends(texts: Iterable[str]) -> dict[str, str]:
    """What tells absolute paths apart: as many last parts of each as that takes; other texts are not in it.

    >>> path_ends(["/home/me/a/net.py:build", "/home/me/b/net.py:build", "resnet20"])
    {'/home/me/a/net.py:build': 'a/net.py:build', '/home/me/b/net.py:build': 'b/net.py:build'}
    >>> path_ends(["/home/me/net.py:build"])
    {'/home/me/net.py:build': 'net.py:build'}
    """
    parts = {text: Path(text).parts for text in texts if text.startswith("/")}
    longest = max(map(len, parts.values()), default=0)
    for kept in range(1, longest + 1):
        ends = {path: str(Path(*names[-kept:])) for path, names in parts.items()}
        if len(set(ends.values())) == len(set(parts.values())):
            return ends
    return {}


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: Sequence[Align] = (),
    width: int | None = None,
    ascii_only: bool = False,
) -> str:
    """Columns of text under headers, fitted to `width` columns.

    Too wide a table first abbreviates its left-aligned (text) columns, then drops columns from the
    right and ends the header with an ellipsis. Right-aligned columns are numbers: they are shown whole
    or not at all. The first column is always there; `whole`, it may be wider than `width`. Without `align`
    the first column is text and the others numbers.
    """
    spell = to_ascii if ascii_only else printable
    ellipsis = "..." if ascii_only else "…"
    cells = [[spell(str(text)) for text in row] for row in (headers, *rows)]
    columns = max(len(row) for row in cells)
    if not columns:
        return ""
    cells = [row + [""] * (columns - len(row)) for row in cells]
    rest: list[Align] = ["right"] * columns
    sides: list[Align] = [*(align or ("left",)), *rest][:columns]
    widths = [max(cell_width(row[i]) for row in cells) for i in range(columns)]
    if width is not None:
        widths = _fit_columns(widths, sides, width, len(ellipsis))
    dropped = len(widths) < columns
    lines = [_table_line(row, widths, sides, ellipsis) for row in cells]
    rule = "  ".join(("-" if ascii_only else "─") * column for column in widths)
    if dropped:
        lines[0] += f" {ellipsis}"
    lines = [lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])]
    if width is None:
        return "\n".join(lines)
    room = max(width, widths[0]) if sides[0] == "whole" else width
    return "\n".join(abbreviate(line, room, ellipsis) for line in lines)


def _fit_columns(widths: Sequence[int], sides: Sequence[Align], width: int, ellipsis: int) -> list[int]:
    """Column widths that fit: the last columns go until the rest, its text abbreviated, has room."""
    least = [
        min(column, NARROWEST) if side == "left" else column
        for column, side in zip(widths, sides, strict=True)
    ]
    shown = len(widths)
    while shown > 1 and sum(least[:shown]) > _room(width, shown, len(widths), ellipsis):
        shown -= 1
    fitted = list(widths[:shown])
    while sum(fitted) > _room(width, shown, len(widths), ellipsis):
        texts = [i for i in range(shown) if fitted[i] > least[i]]
        if not texts:
            break
        fitted[max(texts, key=lambda i: fitted[i])] -= 1
    return fitted


def _room(width: int, shown: int, columns: int, ellipsis: int) -> int:
    """Columns of the terminal left for cells, without the gaps and the sign that columns were dropped."""
    return width - 2 * (shown - 1) - (ellipsis + 1 if shown < columns else 0)


def _table_line(row: Sequence[str], widths: Sequence[int], sides: Sequence[Align], ellipsis: str) -> str:
    parts = []
    for text, column, side in zip(row, widths, sides, strict=False):
        short = abbreviate(text, column, ellipsis)
        gap = " " * (column - cell_width(short))
        parts.append(gap + short if side == "right" else short + gap)
    return "  ".join(parts)


@lru_cache(4096)
def _letter_width(letter: str) -> int:
    """What can't be shown has a column, for the blank that stands for it."""
    if (
        unicodedata.category(letter) in ("Mn", "Me") or "\u1160" <= letter <= "\u11ff"
    ):  # marks; Korean, taken apart
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
