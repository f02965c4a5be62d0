"""The check of this machine's bits from within the lab: the command of the same name, in a process of its own."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress

from engine.errors import BITS_COMMAND, SecateurError
from engine.runner import launch
from tui.work.models import COMMAND


async def run() -> str:
    """What the check found, in sentences; its process ends when this is cancelled.

    Raises SecateurError when the check itself fails.
    """
    words = [*BITS_COMMAND.split()[1:], "--json"]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-c", COMMAND, *words],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=launch.process_environment(),
    )
    try:
        told, said = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
    try:
        text: str = json.loads(told)["bits"]["text"]
    except (ValueError, KeyError):
        lines = said.decode(errors="replace").strip().splitlines() or [
            f"Its exit code was {process.returncode}."
        ]
        raise SecateurError(
            "The check of this machine's bits failed",
            lines[-1],
            f"`{BITS_COMMAND}` in a shell shows all it says.",
        ) from None
    return text[:1].upper() + text[1:]
