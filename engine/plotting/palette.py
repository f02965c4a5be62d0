"""How series are told apart: by marker first, then by colour, then by dashes."""

from dataclasses import dataclass

from engine.plotting.figure import Figure

SHAPES = (
    "circle",
    "diamond",
    "triangle",
    "square",
    "open-circle",
    "open-diamond",
    "open-triangle",
    "open-square",
)
STAR = "star"
"""The shape of what is singled out: its marker hides whatever shares its cell, and a cursor passes over it."""
GLYPHS = dict(zip((*SHAPES, STAR), "●◆▲■○◇△□★", strict=True))
ASCII_GLYPHS = dict(zip((*SHAPES, STAR), "ox^#0v%&@", strict=True))
"""One distinct letter or sign a shape; `*` is kept for points that fall into one cell."""
SEVERAL = "*"
"""Drawn where points of different series share a cell."""
DASHES = ((), (7.0, 3.0), (2.0, 3.0))
LETTERS = "abcdefghijklmnpqrstuwyz"
"""Markers in the terminal once the shapes are used up: a terminal has no dashes to tell them apart."""


@dataclass(frozen=True)
class Colour:
    """One colour on paper, and in the terminal as a number of the 256 colours with its value."""

    paper: str
    terminal: str
    code: int


COLOURS = (
    Colour("#0072b2", "#0087d7", 32),
    Colour("#d55e00", "#d75f00", 166),
    Colour("#009e73", "#00af87", 36),
    Colour("#cc79a7", "#d787af", 175),
    Colour("#e69f00", "#d7af00", 178),
    Colour("#56b4e9", "#5fafd7", 74),
    Colour("#7f7f7f", "#8a8a8a", 245),
)
"""Okabe and Ito (2008), "Color Universal Design", without its black and yellow; the terminal's are the
nearest of the 256 colours that can be read on black and on white."""
MUTED = Colour("#8a8a8a", "#808080", 244)
"""Axes, grid and reference lines."""


@dataclass(frozen=True)
class Style:
    """How one series looks, on paper and in the terminal."""

    shape: str
    colour: Colour
    dash: tuple[float, ...]
    glyph: str
    ascii_glyph: str


def styles(figure: Figure) -> tuple[Style, ...]:
    """One style for each series, by its place; the first eight differ in shape, later ones in dashes too."""
    return tuple(_style(i, line.marker, figure.bright in (None, i)) for i, line in enumerate(figure.series))


def _style(place: int, marker: str, bright: bool) -> Style:
    shape = marker if marker in GLYPHS else SHAPES[place % len(SHAPES)]
    turn = place // len(SHAPES)
    letter = LETTERS[(place - len(SHAPES)) % len(LETTERS)]
    return Style(
        shape,
        COLOURS[place % len(COLOURS)] if bright else MUTED,
        DASHES[turn % len(DASHES)],
        letter if turn and not marker else GLYPHS[shape],
        letter if turn and not marker else ASCII_GLYPHS[shape],
    )
