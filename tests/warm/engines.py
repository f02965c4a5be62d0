"""Engines of studies, forked from the tests' server: each would import for half a second what that has already."""

import multiprocessing
import os
import sys
from multiprocessing import process
from typing import Any, BinaryIO

from engine.compute.latency import forks
from engine.machine import signals
from engine.runner.supervisor import main
from engine.studies.rundir import RunDir


def start(run: RunDir, asked: str, log: BinaryIO, environment: dict[str, str]) -> Any:
    """In place of `launch._engine`; what is returned tells `pid`, `poll()` and `returncode` too."""
    forks._reuse_server()
    engine = multiprocessing.get_context("forkserver").Process(
        target=_engine, args=(str(run.path), asked, log.name, environment)
    )
    engine.start()
    process._children.discard(engine)  # type: ignore[attr-defined]  # whoever started it does not wait for its end
    return engine._popen  # type: ignore[attr-defined]


def _engine(run: str, asked: str, log: str, environment: dict[str, str]) -> None:
    """What the engine's own Python would do: in a session of its own, with these variables, streams and arguments."""
    os.setsid()
    signals.block()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(run)
    said = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = ["-c", run, asked]
    forks._reuse_server()
    sys.exit(main())
