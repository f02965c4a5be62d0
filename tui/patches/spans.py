"""Sends exactly the spans that changed.

Textual crops the end of a changed span but repaints its line from the left edge of the widget, which on
a chart is most of what is sent. Here a span is sent from its first changed cell, and a colour only where it
changes.
"""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate, CompositorUpdate
from textual.app import App
from textual.screen import Screen

if TYPE_CHECKING:
    from rich.console import RenderableType

    Base = App[None]
else:
    Base = object

RESET = "\x1b[0m"


class Spans(CompositorUpdate):
    """The same update with fewer bytes."""

    def __init__(self, update: ChopsUpdate) -> None:
        self._update = update

    def render_segments(self, console: Console) -> str:
        """The escape sequences that paint the update."""
        out = []
        for y, first, last in self._update.spans:
            for end, (x, strip) in zip(
                self._update.chop_ends[y], self._update.chops[y].items(), strict=False
            ):
                start, stop = max(x, first), min(end, last)
                if strip is not None and start < stop:
                    out.append(f"\x1b[{y + 1};{start + 1}H")
                    out.append(_painted(list(strip.crop(start - x, stop - x)), console))
        return "".join(out)


def _painted(segments: list[Segment], console: Console) -> str:
    """Text with colour codes where the colour changes, and none left on at the end."""
    out = []
    before = ""
    for text, style, control in segments:
        if control:
            continue
        codes = style._make_ansi_codes(console._color_system) if style and console._color_system else ""
        if codes != before:
            out.append(f"\x1b[0;{codes}m" if codes else RESET)
            before = codes
        out.append(text)
    if before:
        out.append(RESET)
    return "".join(out)


class SendSpans(Base):
    """A mixin for the app."""

    def _display(self, screen: "Screen[object]", renderable: "RenderableType | None") -> None:
        sent = Spans(renderable) if isinstance(renderable, ChopsUpdate) else renderable
        super()._display(screen, sent)  # type: ignore[arg-type]
