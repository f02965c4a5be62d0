"""The check of this machine's bits from within the lab: the command of the same name, in a process of its own."""

from engine.errors import BITS_COMMAND
from tui.work.command import answer


async def run() -> str:
    """What the check found, in sentences; its process ends when this is cancelled.

    Raises SecateurError when the check itself fails.
    """
    words = [*BITS_COMMAND.split()[1:], "--json"]
    checked = await answer(words, "The check of this machine's bits failed", BITS_COMMAND)
    text: str = checked["bits"]["text"]
    return text[:1].upper() + text[1:]
