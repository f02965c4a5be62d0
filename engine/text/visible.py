"""Texts that others wrote, made harmless: what would steer a terminal or hide in a line is shown as it is spelled.

Names, labels, paths, logs and errors come from presets, files and other users. A control sequence among them could
write to the clipboard, retitle the window or paint over what was said before; a character that changes the direction
of text, or that has no width, makes a line read as something else.
"""

import io
import json
import os
import re
import sys
from typing import Any

STEERING = re.compile(
    "[\x00-\x08\n-\x1f\x7f-\x9f"  # control characters, those of eight bits too: \x9b begins a sequence as ESC [ does
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of text
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # no width
    "\ud800-\udfff]"  # bytes of a file's name that are no text
)
"""Neither tabulators are among them nor joiners without width (U+200C, U+200D), which Persian words and emoji need."""
COLOUR = re.compile("(\x1b\\[[0-9;]*m)")
"""What colours text, and does nothing else."""


def visible(text: str) -> str:
    r"""The text on one line, with every character that steers written as its escape.

    >>> print(visible("a\x1b]52;c;aGk=\x07b\nc"))
    a\x1b]52;c;aGk=\x07b\nc
    >>> print(visible("naïve × 2, \u202egnp.exe"))
    naïve × 2, \u202egnp.exe
    """
    return STEERING.sub(lambda match: repr(match[0])[1:-1], text)


def printable(text: str) -> str:
    """The text with what steers made visible, and a blank for what else no terminal shows, nor XML allows."""
    return "".join(letter if letter.isprintable() else " " for letter in visible(text))


def visible_lines(text: str) -> str:
    """The same for a text of several lines, which stay."""
    return "\n".join(map(visible, text.split("\n")))


def visible_but_colours(text: str) -> str:
    """The same for a picture of ours: its lines and colours stay, and nothing else that steers."""
    parts = COLOUR.split(text)
    return "".join(part if place % 2 else visible_lines(part) for place, part in enumerate(parts))


class VisibleStream(io.TextIOWrapper):
    """Writes lines as `visible_lines` gives them, each write at once."""

    def __init__(self, descriptor: int) -> None:
        file = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        super().__init__(file, encoding="utf-8", errors="backslashreplace", write_through=True)

    def write(self, text: str) -> int:
        super().write(visible_lines(text))
        return len(text)


def guard_streams() -> None:
    """From now on, what this process prints goes into its log without anything that steers a terminal.

    Libraries that write to the file descriptors themselves, not through Python, are not reached.
    """
    sys.stdout, sys.stderr = VisibleStream(1), VisibleStream(2)


def json_text(value: Any, indent: int | None = None, *, ascii_only: bool = False) -> str:
    r"""The value as JSON, in which nothing steers: such characters are escaped, so that they read back the same.

    >>> json_text({"name": "a\x9bm\u202e×"})
    '{"name": "a\\u009bm\\u202e×"}'
    """
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    # Lines between values are ours; within a string json.dumps has escaped what is below a space already.
    return STEERING.sub(lambda match: match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1], text)
