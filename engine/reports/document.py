"""What a report is made of, whatever it is written as: sections with paragraphs, tables, charts and code."""

from dataclasses import dataclass

from engine.plotting.figure import Figure
from engine.reports.table import Grid


@dataclass(frozen=True)
class Paragraph:
    """Text; `role` is `lead` for what to remember, `warn` for what to mind, else empty."""

    text: str
    role: str = ""


@dataclass(frozen=True)
class Bullets:
    """Sentences, each a point of a list."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table under a caption; `marked` is a row that stands out.

    `bars` are shares of 0 … 1, a pair for each row: how much was there, and how much is left.
    """

    grid: Grid
    caption: str = ""
    marked: int | None = None
    bars: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Chart:
    """A figure under a caption."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Code:
    """Text to be kept as it is; `language` is as Markdown names it."""

    text: str
    language: str = ""


Block = Paragraph | Bullets | Table | Chart | Code


@dataclass(frozen=True)
class Section:
    """Blocks under a title; `level` 2 begins a part of the report, 3 a part of that."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 2


@dataclass(frozen=True)
class Report:
    """A whole report: title, a line below it, sections."""

    title: str
    below: str
    sections: tuple[Section, ...]
