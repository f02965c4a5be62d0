"""The clipboard of the user's own machine, by the terminal: over SSH, and through tmux and GNU screen too.

A program writes OSC 52 (xterm's control sequences, "Operating System Commands") with the text in base64, and the
terminal puts it into its clipboard; nothing answers, so that nobody can know whether it did. tmux lets a program
inside do so only with `set-clipboard on`; but its own command `load-buffer -w` reaches the terminal with the default
too, and the text is in tmux's buffer (prefix ]) whatever the terminal does.
"""

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Mapping

from engine.errors import UsageError
from engine.text.numbers import size

LONGEST = 74_994
"""Bytes of a text: in base64 just below 100 000, which is what hterm and others take at most."""
SCREEN_PIECE = 700
"""Letters that GNU screen passes on at once; it drops strings of 768 and more."""
TMUX_WITHIN_S = 2.0


def put(text: str, write: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> str:
    """Put a text into the clipboard by what `write` sends to the terminal; how, for people.

    Raises UsageError for a text that is longer than terminals take.
    """
    length = len(text.encode())
    if length > LONGEST:
        raise UsageError(
            f"{size(length)} are too much for a terminal's clipboard",
            f"Terminals take at most {size(LONGEST)} from a program.",
            "Write it to a file: R writes a report, w a chart.",
        )
    sequence = f"\x1b]52;c;{b64encode(text.encode()).decode()}\x07"
    if environment.get("TMUX") and _buffered(text):
        return f"{size(length)} copied, in tmux's buffer too"
    if environment.get("STY"):
        pieces = [sequence[at : at + SCREEN_PIECE] for at in range(0, len(sequence), SCREEN_PIECE)]
        sequence = "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    write(sequence)
    return f"{size(length)} copied (OSC 52)"


def _buffered(text: str) -> bool:
    """Give it to tmux, which passes it on to its terminal; False where tmux is not there or too old."""
    tmux = shutil.which("tmux")
    if tmux is None:
        return False
    try:
        done = subprocess.run(
            [tmux, "load-buffer", "-w", "-"],
            input=text.encode(),
            capture_output=True,
            timeout=TMUX_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
