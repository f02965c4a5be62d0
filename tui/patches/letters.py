"""ASCII alone goes to a terminal that shows nothing else, every sign in its columns."""

from textual.drivers.linux_driver import LinuxDriver

from engine.text.ascii import SPELLED, Table, wanted

ON = wanted()
"""Whether this terminal is one; known once, from the environment."""


class AsciiDriver(LinuxDriver):
    """Writes what everything drew, letter by letter, whoever drew it."""

    _table = Table()

    def write(self, data: str) -> None:
        super().write(data if data.isascii() else data.translate(self._table))


def spelled(text: str) -> str:
    """On a terminal of ASCII alone the text with ±, ≥, ≤ and ≠ in two letters each; as it is on others.

    To be called before the text is laid out in lines, because it gets longer.
    """
    if ON and not text.isascii():
        for sign in ("±", "≥", "≤", "≠"):
            text = text.replace(sign, SPELLED[sign])
    return text
