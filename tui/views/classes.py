"""How each class did, as lines of text: bars against the baseline, and what is taken for what."""

from collections.abc import Mapping
from typing import Any

from engine.results.classes import ClassResult, matrix, results, shown
from engine.text import tables
from engine.text.numbers import percent
from tui.widgets.painted import Line, Span

BAR = 20
"""Columns of a full bar."""
EIGHTHS = " ▏▎▍▌▋▊▉"
SHADES = ("  ", "··", "░░", "▒▒", "▓▓", "██")
"""A cell of the confusion matrix, by the share of its row."""
LONGEST = 16
"""Columns of a class's name at most."""
NOTABLE = 0.05
"""A loss of this much is said in the colour of what is bad."""


def classes(counted: Mapping[str, Any], before: Mapping[str, Any], width: int) -> list[Line]:
    """Bars of the classes, and the confusion matrix where it fits into `width` columns; nothing without classes."""
    every = results(counted, before)
    if not every:
        return []
    chosen = shown(every)
    title = (
        "Classes" if len(chosen) == len(every) else f"Classes: {len(chosen)} of {len(every)} that lost most"
    )
    longest = min(LONGEST, max(tables.cell_width(one.name) for one in chosen))
    out: list[Line] = [[(title, "accent")], *(_bar(one, longest) for one in chosen), ()]
    fits = longest + 4 + 2 * len(every) <= width
    return out + (_matrix(counted, every, longest) if fits and len(every) > 1 else [])


def _bar(one: ClassResult, longest: int) -> Line:
    """`name ████▌·····  90.0 %  −5.0 points  most taken for dog (3)`; dots are what was lost."""
    name = _padded(one.name, longest)
    if one.accuracy is None:
        return [(f"  {name}  ", ""), ("no images", "muted")]
    filled = one.accuracy * BAR
    bar = "█" * int(filled) + EIGHTHS[int(8 * (filled % 1))].strip()
    lost = "·" * max(0, round((one.before or 0.0) * BAR) - len(bar))
    space = " " * (BAR - len(bar) - len(lost))
    change: Span = ("", "")
    if one.before is not None and one.lost:
        change = (f"{-100 * one.lost:+z6.1f} points", "bad" if one.lost >= NOTABLE else "muted")
    taken = f"  most taken for {one.taken_for[0]} ({one.taken_for[1]})" if one.taken_for else ""
    return [
        (f"  {name}  ", ""),
        (bar, "bar"),
        (lost, "bad"),
        (f"{space}  {percent(one.accuracy, 1):>7}  ", ""),
        change,
        (taken, "muted"),
    ]


def _matrix(counted: Mapping[str, Any], every: list[ClassResult], longest: int) -> list[Line]:
    """A row for each true class; columns are what its images were taken for, in the same order."""
    out: list[Line] = [
        [("Taken for", "accent"), ("  rows are true classes, columns in the same order", "muted")]
    ]
    for one, row in zip(every, matrix(counted), strict=True):
        total = max(1, sum(row))
        cells: list[Span] = [
            (_shade(images / total), "good" if column == len(out) - 1 else "bad")
            for column, images in enumerate(row)
        ]
        out.append([(f"  {_padded(one.name, longest)}  ", ""), *cells])
    return [*out, ()]


def _shade(share: float) -> str:
    """The cell of a share of a class's images.

    >>> [_shade(share) for share in (0, 0.001, 0.3, 1)]
    ['  ', '··', '░░', '██']
    """
    if share == 0:
        return SHADES[0]
    return SHADES[min(len(SHADES) - 1, 1 + int(share * 5))] if share >= 0.02 else SHADES[1]


def _padded(name: str, width: int) -> str:
    cut = tables.abbreviate(name, width)
    return cut + " " * (width - tables.cell_width(cut))
