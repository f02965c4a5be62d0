"""Images in half-blocks: two pixels to a character, the upper one its ink, the lower one what is behind."""

from collections.abc import Sequence
from typing import Any

from engine.text.tables import abbreviate
from tui.widgets.painted import Line, Span

UPPER = "▀"
GAP = 2
"""Columns between two images."""


def rows(thumbnails: Sequence[dict[str, Any]], width: int) -> list[Line]:
    """The images side by side, as many in a row as `width` columns have room for, their labels below them."""
    lines: list[Line] = []
    rest = list(thumbnails)
    while rest:
        row = [rest.pop(0)]
        while rest and sum(one["width"] + GAP for one in (*row, rest[0])) - GAP <= width:
            row.append(rest.pop(0))
        height = max((one["height"] + 1) // 2 for one in row)
        lines += [_across(row, y) for y in range(height)]
        lines += [_labels(row), ()]
    return lines


def _across(row: Sequence[dict[str, Any]], y: int) -> Line:
    spans: list[Span] = []
    for one in row:
        pixels = bytes.fromhex(one["rgb"])
        for x in range(one["width"]):
            above, below = (_colour(pixels, one, x, line) for line in (2 * y, 2 * y + 1))
            spans.append((UPPER, f"{above} on{below}" if below else above) if above else (" ", ""))
        spans.append((" " * GAP, ""))
    return spans


def _colour(pixels: bytes, one: dict[str, Any], x: int, y: int) -> str:
    """The pixel's colour; "" below the image."""
    if y >= one["height"]:
        return ""
    start = 3 * (y * one["width"] + x)
    return f"#{pixels[start : start + 3].hex()}"


def _labels(row: Sequence[dict[str, Any]]) -> Line:
    return [(abbreviate(one["label"], one["width"]).ljust(one["width"] + GAP), "muted") for one in row]
