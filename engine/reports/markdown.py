"""Reports as Markdown that any viewer shows: tables, and charts drawn in letters."""

import re

from engine.plotting import text as letters
from engine.reports.document import Block, Bullets, Chart, Code, Paragraph, Report, Table
from engine.reports.table import Grid
from engine.text.tables import to_ascii
from engine.text.visible import visible, visible_lines

WIDTH, HEIGHT = 96, 26
"""Columns and lines of a chart."""
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$&])")
"""What Markdown, or HTML within it, would take for more than a letter."""


def draw(report: Report) -> str:
    """The whole file."""
    parts = [f"# {escaped(report.title)}", escaped(report.below)]
    for section in report.sections:
        parts.append(f"{'#' * section.level} {escaped(section.title)}")
        parts += map(_block, section.blocks)
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """The text with every sign that would be more than a letter made one.

    >>> escaped("<b>* trial 3: a|b")
    '\\\\<b\\\\>\\\\* trial 3: a\\\\|b'
    """
    # A digit with a dot, a plus or a minus begins a list at the start of a line only: there it is kept from it.
    return re.sub(r"^(\d+)([.)])|^([+-])(?=\s)", r"\1\\\2\3", SPECIAL.sub(r"\\\1", visible(text)))


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            text = "  \n".join(escaped(line) for line in block.text.splitlines())
            return {"lead": f"**{text}**", "warn": f"> {text}"}.get(block.role, text)
        case Bullets():
            return "\n".join(f"- {escaped(line)}" for line in block.lines)
        case Table():
            caption = f"{escaped(block.caption)}\n\n" if block.caption else ""
            return caption + table(block.grid)
        case Chart():
            drawn = letters.draw(block.figure, WIDTH, HEIGHT, colour=False)
            return f"{escaped(block.caption)}\n\n{fenced(drawn, 'text')}"
        case Code():
            return fenced(block.text, block.language)


def table(grid: Grid) -> str:
    """A table, its numbers to the right."""
    rule = ["--:" if side == "right" else ":--" for side in grid.sides]
    rows = [list(map(escaped, grid.headers)), rule, *(list(map(escaped, row)) for row in grid.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fenced(text: str, language: str = "") -> str:
    """The text as it is, between fences that nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{to_ascii(language)}\n{visible_lines(text).rstrip()}\n{fence}"
