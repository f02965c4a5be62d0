"""All tests: locks of their own, so that no study of the same user on this machine makes them wait; one thread.

One thread, because the tests run in more processes than there are cores, and small networks gain nothing by a second.
For the same reason each of these processes keeps to its own share of the processors: else every study, which takes the
first ones that it may use, would take the same, and measuring would wait for the tests beside it to leave it alone.
"""

import gc
import multiprocessing.util
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest

from engine.machine import environment, private
from tests.warm import unsynced  # noqa: F401

SCRATCH = "secateur-test-"
"""What folders of tests begin with in the temporary folder, before the number of their process."""


def _sweep() -> None:
    """Remove what killed test runs left: folders of processes that are gone, and that nobody has used for a day."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        pid, info = path.name.removeprefix(SCRATCH).partition("-")[0], path.lstat()
        old = info.st_uid == os.getuid() and time.time() - info.st_mtime > 86_400
        if old and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


_sweep()
# As most users have it, whatever the environment says: compiled code is kept, and output buffered. Without that code
# each of hundreds of processes would compile this project, and each that collects would rewrite every test.
sys.dont_write_bytecode = False
for _name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
    os.environ.pop(_name, None)
os.environ.update(private.variables())  # code that was compiled for earlier tests needs not be compiled again
# One process of the tests makes it, before it starts the others: an export takes seconds, and most networks are alike.
_TEMPLATES = tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-templates-")
os.environ.setdefault("SECATEUR_TESTS_TEMPLATES", _TEMPLATES.name)
_LOCKS = tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-locks-")
os.environ["SECATEUR_LOCKS"] = _LOCKS.name
# Killed, a process leaves them behind: under a name of ours they are swept. Else they go after what multiprocessing
# has in them, as its own folder does.
_SOCKETS = tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-sockets-")
multiprocessing.util.Finalize(None, shutil.rmtree, args=(_SOCKETS, True), exitpriority=-100)
multiprocessing.current_process()._config["tempdir"] = _SOCKETS  # type: ignore[attr-defined]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
"""Two threads of a preset may share one processor here: who waits for the other should not keep it from it."""


def _share(processors: list[int], tester: int, testers: int) -> list[int]:
    """The processors of one of the test processes; one that it has with others, if there are not enough.

    One that takes a crashed one's place has a number beyond their count.
    """
    return processors[tester % testers :: testers] or [processors[tester % len(processors)]]


if _name := os.environ.get("PYTEST_XDIST_WORKER"):  # "gw0", "gw1", …
    _count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, _share(sorted(os.sched_getaffinity(0)), int(_name.removeprefix("gw")), _count))
environment.settle()

# Property-based tests draw the same examples in every run, and are never failed for being slow on a busy machine.
hypothesis.settings.register_profile(
    "secateur",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("secateur")


def pytest_configure(config: pytest.Config) -> None:
    """Where the tests run in several processes, one server is there for all: its imports take seconds, and memory.

    These processes come from it too.
    """
    if (getattr(config.option, "numprocesses", None) or 0) > 1:
        from tests import study_lab
        from tests.warm import testers

        os.environ["SECATEUR_TESTS_FORKSERVER"] = study_lab.start_server()
        config.option.tx = [testers.specification()] * len(config.option.tx)


LONG = ("long", "slow", "processors")
"""Marks of tests that take many seconds."""
TOGETHER = 8
"""As many of them, of one file, one process does one after the other: they may share what they begin with."""


@pytest.hookimpl(trylast=True)  # of the tests that -m and -k leave
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What each test process is given begins with its share of the long tests, and goes on with short ones.

    A long test that begins when all others are done is waited for by all processors but one. `--dist worksteal` cuts
    the tests, in their order, into as many pieces of one length as there are processes; who is done takes from others.
    """
    testers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    files: dict[Path, list[pytest.Item]] = {}
    short: list[pytest.Item] = []
    for item in items:
        long = any(map(item.get_closest_marker, LONG))
        (files.setdefault(item.path, []) if long else short).append(item)
    pieces = [file[at : at + TOGETHER] for file in files.values() for at in range(0, len(file), TOGETHER)]
    shares: list[list[pytest.Item]] = [[] for _ in range(testers)]
    for piece in sorted(pieces, key=len, reverse=True):
        min(shares, key=len).extend(piece)
    ordered: list[pytest.Item] = []
    for number, share in enumerate(shares):
        # What worksteal gives this process, of all that those before it left.
        room = (len(items) - len(ordered)) // (testers - number) - len(share)
        ordered += share + short[: max(room, 0)]
        del short[: max(room, 0)]
    items[:] = ordered + short


MANY = 200
"""After so many newly imported modules, what they hold is taken out of what each look for garbage goes through."""
_imported = 0


def pytest_runtest_logstart() -> None:
    """Whatever the tests have imported stays: torch and what comes with it are 400 000 objects."""
    global _imported
    if len(sys.modules) > _imported + MANY:
        gc.collect()
        gc.freeze()
        _imported = len(sys.modules)
