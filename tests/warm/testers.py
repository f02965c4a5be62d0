"""The processes that xdist runs tests in, forked from the tests' server: each would import for ten seconds what it has.

What the server has set otherwise for the workers of small studies is put back in them.
"""

import multiprocessing.context
import os
import shlex
import sys
from multiprocessing import forkserver, popen_forkserver
from typing import NoReturn

from tests import HOME
from tests.warm import moved, server

START = f"import sys; sys.path.insert(0, {str(HOME)!r}); from tests.warm.testers import start; start()"


def specification() -> str:
    """What xdist is told to start in place of Python."""
    return f"popen//python={shlex.join([sys.executable, '-c', START])}"


def start() -> NoReturn:
    """Have a tester do what this process was started for: execnet's first line of Python, read from its input."""
    server.use(os.environ["SECATEUR_TESTS_FORKSERVER"])
    moved.to_the_server(_test, sys.argv[1:], (0, 1, 2))


def _test(words: list[str], files: list[int]) -> None:
    moved.streams(*files)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = words[:1]
    _as_new()
    exec(words[-1], {"__name__": "__main__"})


def _as_new() -> None:
    """As a process is that has only imported what the server has."""
    import torch

    from tests.warm import short

    short.back()
    torch.use_deterministic_algorithms(False)
    forkserver._forkserver.__init__()  # type: ignore[misc]  # tests that ask for no server of ours start their own
    multiprocessing.context.ForkServerProcess._Popen = staticmethod(popen_forkserver.Popen)  # type: ignore[assignment]
