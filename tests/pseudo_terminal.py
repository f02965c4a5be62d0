"""A program in a pseudo-terminal of its own, as a login gives one."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

TAKE = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal of a new session, then becomes the program: the process stays the same."""


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], size: tuple[int, int] = (80, 24)
) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the file that stands for its terminal's other end; `size` is columns and rows.

    Not by `pty.fork`: what Python does in a child of a process with threads may wait for ever.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-ISc", TAKE, *command],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    return process, ours
