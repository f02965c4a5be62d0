"""Programs of ours that import torch, each in a process forked from the tests' server: the engine's look at data that a
user's function makes, the worker of a knob, the check of a machine's bits, and `secateur export`."""

import multiprocessing
import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import NoReturn

from engine.machine import signals
from tests.warm import moved


def look_there(words: list[str]) -> NoReturn:
    """What the process of a look was started for, with its pipe, which the last of its arguments names."""
    *others, pipe = words
    moved.to_the_server(_look, others, (1, 2, int(pipe)))


def knob_there(words: list[str]) -> NoReturn:
    """What the process of a knob was started for, with its socket, which the last of its arguments names."""
    *others, end = words
    moved.to_the_server(_knob, others, (1, 2, int(end)))


def check_there(words: list[str]) -> NoReturn:
    """What the process of a check of bits was started for."""
    moved.to_the_server(_check, words, (1, 2))


def export_there(words: list[str]) -> NoReturn:
    """What a command was started for, with the words behind `secateur`."""
    moved.to_the_server(_export, words, (1, 2))


def _export(words: list[str], files: list[int]) -> None:
    from engine.cli.main import main

    moved.streams(*files)
    sys.argv = ["secateur", *words]
    sys.exit(main())


def _check(words: list[str], files: list[int]) -> None:
    from engine.compute.worker.selfcheck import main

    moved.streams(*files)
    sys.argv = ["-c", *words]
    main()


def _look(words: list[str], files: list[int]) -> None:
    from engine.compute.worker.fingerprint import main

    sys.argv = ["-c", *words, str(_as_started(files))]
    main()


def _knob(words: list[str], files: list[int]) -> None:
    from engine.compute.worker.knob.process import main

    main(*words, str(_as_started(files)))


def _as_started(files: list[int]) -> int:
    """Be as the process that asked was started, and end with that; the file that is no standard stream."""
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    signals.block()
    out, err, file = files
    moved.streams(out, err)
    return file


def _end_with(asked: BaseProcess | None) -> None:
    assert asked is not None
    connection.wait([asked.sentinel])
    os._exit(1)
