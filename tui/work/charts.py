"""A chart into a file; the name's ending says what kind."""

from pathlib import Path

from engine.errors import UsageError
from engine.plotting.figure import Figure
from engine.store.files import write_named
from engine.store.paths import absolute

ABOUT = "The ending decides: .svg, .png, .csv, or .txt for the chart as text."
WIDTH, HEIGHT = 100, 30
"""Columns and lines of a chart as text."""


def write(figure: Figure, path: Path) -> Path:
    """Write the figure; the path made absolute. Raises UsageError for an ending that is none of ours, or a place
    that can't be written to."""
    content = _drawn(figure, path.suffix.lower())
    path = absolute(path)
    write_named(path, content)
    return path


def _drawn(figure: Figure, ending: str) -> bytes:
    match ending:
        case ".csv":
            from engine.plotting import csv

            return csv.write(figure).encode()
        case ".svg":
            from engine.plotting import svg

            return svg.draw(figure).encode()
        case ".png":
            from engine.plotting import png

            return png.draw(figure)
        case ".txt":
            from engine.plotting import text

            return (text.draw(figure, WIDTH, HEIGHT, colour=False) + "\n").encode()
        case _:
            raise UsageError(f"A chart can't be written as {ending or 'a file without ending'}", "", ABOUT)
