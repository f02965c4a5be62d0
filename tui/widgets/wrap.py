"""Lines that fit: text broken into lines of a width, lines cut to a height."""

import re
from collections.abc import Sequence

from engine.text.tables import abbreviate, cell_width
from tui.widgets.painted import Line

BREAKS = re.compile(r"(?<!\d) | (?![^\W\d]|%)")
"""Spaces that a line may end at: not between a number and a word or percent sign."""


def clipped(lines: Sequence[Line], height: int, width: int) -> Sequence[Line]:
    """At most `height` of these lines; where some go, the last that stays ends in `…`."""
    if len(lines) <= height or height < 1:
        return lines[:height]
    kept, last = lines[: height - 1], lines[height - 1]
    text = "".join(text for text, _ in last)
    role = last[-1][1] if last else ""
    more = f"{text} …" if cell_width(text) < width - 2 else f"{text}……"
    return [*kept, [(abbreviate(more, width - 1), role)]]


def wrapped(text: str, width: int, role: str = "", indent: str = "") -> list[Line]:
    """Text broken at spaces (or within longer words) into lines of at most `width` columns; a number stays with its
    unit."""
    out: list[Line] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in BREAKS.split(paragraph):
            while cell_width(indent + word) > width > len(indent):
                cut = max(1, width - cell_width(indent))
                if line:
                    out.append([(indent + line, role)])
                    line = ""
                out.append([(indent + word[:cut], role)])
                word = word[cut:]
            joined = f"{line} {word}" if line else word
            if line and cell_width(indent + joined) > width:
                out.append([(indent + line, role)])
                line = word
            else:
                line = joined
        out.append([(indent + line, role)])
    return out
