"""A command of the program's own in a process of its own, for what the lab must not compute itself."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from engine.errors import SecateurError
from engine.runner import launch
from tui.work.models import COMMAND


async def answer(words: Sequence[str], failed: str, shell: str) -> Any:
    """The JSON that `secateur WORDS` prints; its process ends when this is cancelled.

    Raises SecateurError, titled `failed` and naming the command as one would type it, when it prints none.
    """
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-c", COMMAND, *words],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=launch.process_environment(),
    )
    try:
        output, said = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
    try:
        return json.loads(output)
    except ValueError:
        lines = said.decode(errors="replace").strip().splitlines() or [
            f"Its exit code was {process.returncode}."
        ]
        raise SecateurError(failed, "\n".join(lines), f"`{shell}` in a shell shows all it says.") from None
