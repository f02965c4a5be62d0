"""Processes that start in 0.1 s: forked from a server that has imported torch already."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from engine.machine.gpus import VISIBLE
from engine.sources import Sources

PRELOAD = ("engine.compute.worker.warm", "engine.compute.worker.warm_export")
"""What a server should have imported for the processes started here to be quick."""

Start = Callable[[Callable[..., None], tuple[Any, ...]], BaseProcess]
"""Starts `target(*args)` in a new process and returns it."""


class ServerGone(Exception):
    """The server that processes are forked from was killed: whoever started it has to start another."""


def start(target: Callable[..., None], args: tuple[Any, ...]) -> BaseProcess:
    """Fork `target(*args)` from this process's forkserver; `target` and `args` are pickled.

    In a process that was itself started by a forkserver the same server is used again, and the new
    process is its child, not ours. Such a process must not be daemonic. Raises ServerGone where it was killed.
    """
    # Here and below, because the names above are wanted without torch too.
    from engine.compute import usercode

    _reuse_server()
    forked = (usercode.current(), os.environ.get(VISIBLE), target, args)
    process = multiprocessing.get_context("forkserver").Process(target=_forked, args=forked)
    try:
        process.start()
    except (ConnectionError, EOFError, FileNotFoundError) as error:
        raise ServerGone from error
    return process


def _forked(
    sources: Sources | None, gpu: str | None, target: Callable[..., None], args: tuple[Any, ...]
) -> None:
    """`target(*args)`, with the users' code and the GPU of the starting process, not of the server."""
    from engine.compute import usercode

    if gpu is not None:
        os.environ[VISIBLE] = gpu
    usercode.use(sources)
    target(*args)


def _reuse_server() -> None:
    """Make multiprocessing keep to the server that this process came from.

    It knows the server's address, but would start a second, cold server because the first is not its child.
    """
    server: Any = forkserver._forkserver
    if server._forkserver_address is not None and server._forkserver_pid is None:
        server.ensure_running = resource_tracker.ensure_running
