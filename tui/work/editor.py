"""The user's editor, for a text in a file of its own."""

import os
import shlex
import subprocess
from pathlib import Path

from engine.errors import SecateurError
from engine.machine import private

USUAL = "vi"
"""What POSIX has everywhere."""


def command() -> list[str]:
    """$VISUAL, else $EDITOR, with its options."""
    return shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or USUAL) or [USUAL]


def edit(text: str, name: str) -> str:
    """The text after the editor was closed, which has the terminal until then.

    Raises SecateurError where it can't be started, ends with a failure, or leaves what is no text.
    """
    try:
        with private.scratch() as folder:
            file = folder / f"{Path(name).name or 'preset'}.yaml"
            file.write_text(text, "utf-8")
            words = command()
            code = subprocess.run([*words, str(file)], check=False).returncode
            edited = file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SecateurError(
            "Your editor can't be used", f"{error}.", "Name another one: EDITOR=nano secateur."
        ) from error
    if code:
        raise SecateurError(f"{words[0]} ended with code {code}", "Nothing was changed.")
    return edited
