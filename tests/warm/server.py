"""The tests' fork server, used by processes that did not start it; nothing but multiprocessing is imported for it.

One server serves processes that have other variables and other processors than it: what is forked takes those over from
the process that asks, as if that had forked it.
"""

import os
from multiprocessing import context, forkserver, popen_forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

LIKE = "_secateur_tests_like"


def use(named: str) -> None:
    """Have processes of this one forked from the server `named` by its address and key, and be like this one."""
    address, _, key = named.partition(" ")
    server: Any = forkserver._forkserver
    server._forkserver_address = address
    server._forkserver_authkey = bytes.fromhex(key) or None
    server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    server.ensure_running = resource_tracker.ensure_running  # it is not our child, and needs no starting
    fork_alike()


def fork_alike() -> None:
    """Have what is forked from now on be like this process, whatever server it is forked from."""
    context.ForkServerProcess._Popen = staticmethod(_popen)  # type: ignore[assignment]


def _popen(process: BaseProcess) -> Any:
    setattr(process, LIKE, _Like())  # goes over with it
    return popen_forkserver.Popen(process)


class _Like:
    """Unpickled, it makes the process like the one that pickled it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _become, (dict(os.environ), os.sched_getaffinity(0))


def _become(variables: dict[str, str], processors: set[int]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.sched_setaffinity(0, processors)
    fork_alike()
