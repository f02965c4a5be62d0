"""The engine's look at data that a user's function makes, in a process forked from the tests' server."""

import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import NoReturn

from tests.warm import moved


def in_the_server(words: list[str]) -> NoReturn:
    """Have the server do what this process was started for, with its streams and its pipe, and end as that ends."""
    *others, pipe = words
    moved.to_the_server(look, others, (1, 2, int(pipe)))


def look(words: list[str], files: list[int]) -> None:
    """What the process that asked would do; it ends with that, as it would if it were that."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    out, err, pipe = files
    moved.streams(out, err)
    sys.argv = ["-c", *words, str(pipe)]
    from engine.compute.worker.fingerprint import main

    main()


def _end_with(asked: BaseProcess | None) -> None:
    assert asked is not None
    connection.wait([asked.sentinel])
    os._exit(1)
