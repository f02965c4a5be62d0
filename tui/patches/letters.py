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
    """The text with signs whose meaning needs two columns written in two; as it is on other terminals.

    It is laid out afterwards, so that lines stay as long as they are.
    """
    if ON and not text.isascii():
        for sign in ("±", "≥", "≤", "≠"):
            text = text.replace(sign, SPELLED[sign])
    return text
