"""Letters and signs for terminals that show ASCII only."""

import os
import unicodedata
from collections.abc import Mapping

VARIABLE = "SECATEUR_ASCII"
"""1 or 0 decides what the locale would; nothing else has to be set."""

SIGNS = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-=+*%#", strict=True)),
    **dict(zip("▏▎▍▌▋▊▉", "-------", strict=True)),
    **dict.fromkeys("─━═╌", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋", "+"),
    **dict(zip("·…›‹»«●○◆◇▲△▼▽■□★☆▴▾", ".~><><oO+x^^vv##**^v", strict=True)),
    **dict(zip("✓✗▶◀↑↓←→×−–—°µ", "+x><^v<>x---ou", strict=True)),
    "▀": "#",
    "⣿": "#",
}
"""What stands for a sign in one column, so that drawings and tables keep theirs."""
SPELLED = {"±": "+-", "≥": ">=", "≤": "<=", "…": "...", "→": "->", "≈": "~", "≠": "!="}
"""What stands for a sign in a text, where columns do not matter."""


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal shows ASCII only, as far as it and its locale tell; one that says nothing is taken at
    its best.

    >>> wanted({"LC_ALL": "C"}), wanted({"LANG": "de_DE.UTF-8"}), wanted({}), wanted({"LANG": "de_DE.ISO-8859-1"})
    (True, False, False, True)
    >>> wanted({"LANG": "de_DE.UTF-8", "TERM": "linux"})
    True
    """
    asked = environment.get(VARIABLE, "")
    if asked:
        return asked != "0"
    if environment.get("TERM") == "linux":
        return True  # the console's fonts have 512 letters at most, and none of those that charts are made of
    locale = next((found for name in ("LC_ALL", "LC_CTYPE", "LANG") if (found := environment.get(name))), "")
    return bool(locale) and not locale.lower().replace("-", "").partition("@")[0].endswith("utf8")


def sign(letter: str) -> str:
    """A letter in as many ASCII ones as it has columns: 1, 2 of a wide one, none of one that combines.

    >>> "".join(map(sign, "é ± ● ⠉⣀ 日"))
    "e + o '. ??"
    """
    if letter.isascii():
        return letter
    if unicodedata.combining(letter):
        return ""
    found = SIGNS.get(letter) or (_braille(ord(letter) - 0x2800) if "\u2800" <= letter <= "\u28ff" else "")
    found = found or SPELLED.get(letter, "")[:1] or unicodedata.normalize("NFKD", letter)[:1]
    if " " <= found <= "~":
        return found
    return "??" if unicodedata.east_asian_width(letter) in "WF" else "?"


def _braille(dots: int) -> str:
    """Dots of a cell, bits as in the Unicode block, by their height."""
    if not dots:
        return " "
    rows = [bool(dots & bits) for bits in (0x09, 0x12, 0x24, 0xC0)]
    high, low = rows[0] or rows[1], rows[2] or rows[3]
    return ":" if high and low else "'" if high else "."


class Table(dict[int, str]):
    """For `str.translate`: what is drawn as columns of ASCII."""

    def __missing__(self, code: int) -> str:
        self[code] = drawn = sign(chr(code))
        return drawn
