"""Charts as PNG by Pillow, with its built-in font, in the layout that SVG has too."""

import io
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil, hypot
from typing import TYPE_CHECKING, Any

from engine.plotting.drawing import BACKGROUND, LARGEST_SIDE, Label, Mark, Stroke, layout
from engine.plotting.figure import Figure
from engine.plotting.svg import outline
from engine.text.tables import to_ascii

if TYPE_CHECKING:
    from PIL import ImageDraw

OVERSAMPLING = 2
"""Drawn this much larger and averaged down, because Pillow's own lines have steps."""

XY = tuple[float, float]


def draw(figure: Figure, width: int = 720, height: int = 420, scale: int = 2) -> bytes:
    """The chart as PNG of `width * scale` × `height * scale` pixels; a scale of 2 stays sharp in print."""
    from PIL import Image, ImageDraw  # here: needed for PNG only

    page = layout(figure, width, height)
    scale = max(1, min(scale, LARGEST_SIDE // max(page.width, page.height)))
    zoom = scale * OVERSAMPLING
    image = Image.new("RGB", (page.width * zoom, page.height * zoom), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for item in page.items:
        match item:
            case Stroke():
                _stroke(pen, item, zoom)
            case Mark():
                _mark(pen, item, zoom)
            case Label():
                _label(pen, item, zoom)
    data = io.BytesIO()
    image.resize((page.width * scale, page.height * scale), Image.Resampling.BOX).save(
        data, "PNG", optimize=True
    )
    return data.getvalue()


def _stroke(pen: "ImageDraw.ImageDraw", item: Stroke, zoom: int) -> None:
    width = max(1, round(item.width * zoom))
    points = [(x * zoom, y * zoom) for x, y in item.points]
    if len(set(points)) == 1:
        (x, y), r = points[0], width / 2
        pen.ellipse((x - r, y - r, x + r, y + r), item.colour)
        return
    for part in _dashed(points, [length * zoom for length in item.dash]) if item.dash else [points]:
        pen.line(part, item.colour, width, joint="curve")


def _dashed(points: Sequence[XY], dash: Sequence[float]) -> Iterable[list[XY]]:
    """The drawn pieces of a line, on and off by the lengths in `dash`."""
    piece: list[XY] = [points[0]]
    turn, left = 0, dash[0]
    for start, end in pairwise(points):
        length = hypot(end[0] - start[0], end[1] - start[1])
        done = 0.0
        while length - done > left:
            done += left
            here = (
                start[0] + (end[0] - start[0]) * done / length,
                start[1] + (end[1] - start[1]) * done / length,
            )
            if turn % 2 == 0:
                yield [*piece, here]
            piece, turn = [here], turn + 1
            left = dash[turn % len(dash)]
        left -= length - done
        piece.append(end)
    if turn % 2 == 0 and len(piece) > 1:
        yield piece


def _mark(pen: "ImageDraw.ImageDraw", item: Mark, zoom: int) -> None:
    is_open = item.shape.startswith("open-")
    fill, rim = (BACKGROUND, item.colour) if is_open else (item.colour, BACKGROUND)
    width = round((1.8 if is_open else 1.0) * zoom)
    corners = [(x * zoom, y * zoom) for x, y in outline(item)]
    if corners:
        pen.polygon(corners, fill)
        pen.line([*corners, corners[0], corners[1]], rim, width, joint="curve")
        return
    x, y, r = item.x * zoom, item.y * zoom, item.radius * zoom + width / 2
    pen.ellipse((x - r, y - r, x + r, y + r), fill, rim, width)


def _label(pen: "ImageDraw.ImageDraw", item: Label, zoom: int) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size=ceil(item.size * zoom))
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
    heavy = round(item.size * zoom / 40) if item.bold else 0
    place = (item.x * zoom, item.y * zoom)
    pen.text(place, _drawable(item.text, font), item.colour, font, anchor, stroke_width=heavy)


def _drawable(text: str, font: Any) -> str:
    """The text in letters the font has; the built-in one lacks `×` and most letters beyond English."""
    empty = bytes(font.getmask("\uffff"))
    return "".join(char if _has(font, char, empty) else to_ascii(char) for char in text)


def _has(font: Any, char: str, empty: bytes) -> bool:
    return char.isprintable() and (char.isascii() or bytes(font.getmask(char)) != empty)
