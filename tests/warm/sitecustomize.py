"""Read by Python itself as it starts, in the processes of a warm `study_lab.Lab`.

Their workers are forked from the server that the tests name, which has imported torch already, instead of from one of
their own, and so is the process that looks at data of a user's function; they wait for no disk. All else is as it is
without this file.
"""

import os
import sys
from multiprocessing import forkserver, resource_tracker
from typing import Any

if _named := os.environ.get("SECATEUR_TESTS_FORKSERVER"):
    _address, _, _key = _named.partition(" ")
    _server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    _server._forkserver_address = _address
    _server._forkserver_authkey = bytes.fromhex(_key) or None
    _server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    _server.ensure_running = resource_tracker.ensure_running  # it is not our child, and needs no starting
    from tests.warm import unsynced  # noqa: F401

    if "from engine.compute.worker.fingerprint import main; main()" in sys.orig_argv:
        from tests.warm.looked import in_the_server

        in_the_server(sys.orig_argv[-4:])
