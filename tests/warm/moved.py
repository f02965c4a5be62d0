"""What a process was started for, done in one forked from the tests' server, with its variables, folder and files."""

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

Do = Callable[[list[str], list[int]], None]
"""Takes the words that this process was started with, and the descriptors of the files that it was given."""


def to_the_server(do: Do, words: list[str], descriptors: Sequence[int]) -> NoReturn:
    """Have a process of the server do it, with files of this one, and end as that ends; it is told to when this is."""
    files = [Connection(os.dup(number)) for number in descriptors]
    process = multiprocessing.get_context("forkserver").Process(
        target=_moved, args=(do, words, dict(os.environ), str(Path.cwd()), files)
    )
    process.start()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda told, _: os.kill(process.pid, told))
    for file in files:
        file.close()
    process.join()
    assert process.exitcode is not None
    if process.exitcode < 0:
        os.kill(os.getpid(), -process.exitcode)
    os._exit(process.exitcode)


def _moved(
    do: Do, words: list[str], environment: dict[str, str], folder: str, files: list[Connection]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    descriptors = [os.dup(file.fileno()) for file in files]
    for file in files:
        file.close()
    try:
        do(words, descriptors)
    finally:
        atexit._run_exitfuncs()


def streams(*descriptors: int) -> None:
    """Make these the process's standard streams: input where there are three, output and errors."""
    for number, descriptor in enumerate(descriptors, 3 - len(descriptors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Those of the server know whether its own files could be sought in, which these may not.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
