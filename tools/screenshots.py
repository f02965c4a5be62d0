"""Screenshots of the lab as SVG, without fonts of their own: `python -m tools.screenshots WORKSPACE docs/img`.

WORKSPACE holds at least one finished study (`secateur run quickstart`); its newest is shown.
"""

import asyncio
import os
import sys
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from engine.machine import private
from engine.presets.shipped import find
from engine.text.tables import cell_width
from tui.app import Lab

SIZE = (120, 36)
CELL_WIDTH, CELL_HEIGHT, FONT = 8.4, 18.0, 14.0
PICTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lab": ("lab", ()),
    "run": ("run", ()),
    "studies": ("studies", ()),
    "curves": ("curves", ("right", "right", "p")),
    "trial": ("trial", ()),
    "layers": ("layers", ()),
    "models": ("lab", ("m", *"mobilenet")),
}
"""Each picture with its place, and the keys pressed there before it is taken."""
SETTLE_S = 1.5
"""Seconds for the watcher to read the study and the screen to show it."""


def svg(rows: list[list[Segment]], columns: int) -> str:
    """Rows of styled text as an SVG; every run of text is stretched to its columns, whatever the font."""
    width, height = columns * CELL_WIDTH, len(rows) * CELL_HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="{FONT:g}" '
        'shape-rendering="crispEdges">'
    ]
    for y, row in enumerate(rows):
        x = 0
        for style, segments in groupby(row, key=lambda segment: segment.style):
            text = "".join(segment.text for segment in segments)
            out += _run(text, style or Style(), x, y)
            x += cell_width(text)
    return "\n".join([*out, "</svg>", ""])


def _run(text: str, style: Style, x: int, y: int) -> list[str]:
    ink, back = _hex(style.color, "#d0d0d0"), _hex(style.bgcolor, "#1c1c1c")
    if style.reverse:
        ink, back = back, ink
    left, top, width = x * CELL_WIDTH, y * CELL_HEIGHT, cell_width(text) * CELL_WIDTH
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width + 0.3:.1f}" height="{CELL_HEIGHT + 0.3:.1f}"'
    out = [f'<rect {place} fill="{back}"/>']
    body = text.rstrip()
    if body:
        skipped = len(body) - len(body.lstrip())
        shown = body.lstrip()
        start, length = left + skipped * CELL_WIDTH, cell_width(shown) * CELL_WIDTH
        weight = ' font-weight="bold"' if style.bold else ""
        out.append(
            f'<text x="{start:.1f}" y="{top + 13.5:.1f}" textLength="{length:.1f}" '
            f'lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="{ink}"{weight}>{escape(shown)}</text>'
        )
    return out


def _hex(color: Color | None, default: str) -> str:
    return default if color is None or color.is_default else color.get_truecolor().hex


async def take(workspace: Path, folder: Path) -> None:
    """All pictures, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    app = Lab(find("quickstart"), workspace)
    async with app.run_test(size=SIZE) as pilot:
        for name, (place, keys) in PICTURES.items():
            app.action_go(place)
            await pilot.pause(SETTLE_S)
            await pilot.press(*keys)
            await pilot.pause(SETTLE_S)
            rows = [list(strip) for strip in app.screen._compositor.render_strips()]
            (folder / f"{name}.svg").write_text(svg(rows, SIZE[0]), "utf-8")
            print(folder / f"{name}.svg")


def main() -> None:
    """Take them as on any machine: in all colours, and without settings of whoever runs this."""
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    os.environ.pop("NO_COLOR", None)
    with private.scratch() as nothing:
        os.environ |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(nothing))
        asyncio.run(take(Path(sys.argv[1]).absolute(), Path(sys.argv[2])))


if __name__ == "__main__":
    main()
