"""The engine's look at data that a user's function makes, in a process forked from the tests' server."""

import atexit
import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn


def in_the_server(words: list[str]) -> NoReturn:
    """Have the server do what this process was started for, with its streams and its pipe, and end as that ends."""
    *others, pipe = words
    files = [Connection(os.dup(number)) for number in (1, 2, int(pipe))]
    os.close(int(pipe))
    process = multiprocessing.get_context("forkserver").Process(
        target=look, args=(others, dict(os.environ), str(Path.cwd()), files)
    )
    process.start()
    for file in files:
        file.close()
    process.join()
    assert process.exitcode is not None
    if process.exitcode < 0:
        os.kill(os.getpid(), -process.exitcode)
    os._exit(process.exitcode)


def look(words: list[str], environment: dict[str, str], folder: str, files: list[Connection]) -> None:
    """What the process that asked would do; it ends with that, as it would if it were that."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    out, err, pipe = (os.dup(file.fileno()) for file in files)
    for file in files:
        file.close()
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.argv = ["-c", *words, str(pipe)]
    from engine.compute.worker.fingerprint import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()


def _end_with(asked: BaseProcess | None) -> None:
    assert asked is not None
    connection.wait([asked.sentinel])
    os._exit(1)
