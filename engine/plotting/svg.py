"""Charts as SVG: plain shapes and text in the reader's own sans-serif font, no styles and no scripts."""

import math
from xml.sax.saxutils import escape, quoteattr

from engine.plotting.drawing import BACKGROUND, Drawing, Item, Label, Mark, Stroke, layout
from engine.plotting.figure import Figure
from engine.text.visible import printable


def draw(figure: Figure, width: int = 720, height: int = 420) -> str:
    """The chart as an SVG document on a white page, readable in light and dark surroundings."""
    page = layout(figure, width, height)
    return "\n".join([*_head(page), *(_element(item) for item in page.items), "</svg>", ""])


def _head(page: Drawing) -> list[str]:
    name = printable(page.title)
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {page.width} {page.height}" '
        f'width="{page.width}" height="{page.height}" font-family="sans-serif" role="img" '
        f"aria-label={quoteattr(name)}>",
        f"<title>{escape(name)}</title>",
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
    ]


def _element(item: Item) -> str:
    match item:
        case Stroke():
            return _stroke(item)
        case Mark():
            return _mark(item)
        case Label():
            return _label(item)


def _stroke(item: Stroke) -> str:
    dash = f' stroke-dasharray="{" ".join(map(_number, item.dash))}"' if item.dash else ""
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in item.points)
    cap = "round" if len(set(item.points)) == 1 else "butt"  # a line of no length is seen by its caps only
    return (
        f'<polyline points="{points}" fill="none" stroke="{item.colour}" '
        f'stroke-width="{_number(item.width)}" stroke-linejoin="round" stroke-linecap="{cap}"{dash}/>'
    )


def _mark(item: Mark) -> str:
    """A filled mark with a white rim, so that it stands out on lines; an open one the other way round."""
    is_open = item.shape.startswith("open-")
    fill, rim, width = (BACKGROUND, item.colour, 1.8) if is_open else (item.colour, BACKGROUND, 1.0)
    paint = f'fill="{fill}" stroke="{rim}" stroke-width="{_number(width)}"'
    corners = outline(item)
    if not corners:
        return f'<circle cx="{_number(item.x)}" cy="{_number(item.y)}" r="{_number(item.radius)}" {paint}/>'
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in corners)
    return f'<polygon points="{points}" {paint}/>'


def outline(item: Mark) -> tuple[tuple[float, float], ...]:
    """Corners of a mark, all shapes of about equal area; none for a circle."""
    x, y, r = item.x, item.y, item.radius
    match item.shape.removeprefix("open-"):
        case "diamond":
            d = 1.3 * r
            return ((x, y - d), (x + d, y), (x, y + d), (x - d, y))
        case "triangle":
            return ((x, y - 1.3 * r), (x + 1.25 * r, y + 0.95 * r), (x - 1.25 * r, y + 0.95 * r))
        case "star":
            tips = [math.pi * (k / 5 - 0.5) for k in range(10)]
            sizes = [(2.2 if k % 2 == 0 else 0.9) * r for k in range(10)]
            return tuple((x + s * math.cos(a), y + s * math.sin(a)) for a, s in zip(tips, sizes, strict=True))
        case "square":
            h = 0.92 * r
            return ((x - h, y - h), (x + h, y - h), (x + h, y + h), (x - h, y + h))
        case _:
            return ()


def _label(item: Label) -> str:
    weight = ' font-weight="bold"' if item.bold else ""
    anchor = f' text-anchor="{item.anchor}"' if item.anchor != "start" else ""
    return (
        f'<text x="{_number(item.x)}" y="{_number(item.y)}" font-size="{_number(item.size)}" '
        f'fill="{item.colour}"{anchor}{weight}>{escape(printable(item.text))}</text>'
    )


def _number(value: float) -> str:
    """A coordinate to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
