"""Workers on this machine: how the process that they are forked from ended."""

import signal
import subprocess
import sys
from multiprocessing import forkserver
from types import SimpleNamespace

import pytest

from engine.runner.executors import local


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
        ("raise SystemExit(3)", 3),
    ],
)
def test_an_end_by_itself_is_told_from_a_kill(
    monkeypatch: pytest.MonkeyPatch, program: str, expected: int
) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", program]) as server:
        monkeypatch.setattr(forkserver, "_forkserver", SimpleNamespace(_forkserver_pid=server.pid))
        assert local._end_of_server() == expected
        assert server.wait() == expected, "it is left to whoever started it"
    assert local._end_of_server() is None, "nobody knows any more"
