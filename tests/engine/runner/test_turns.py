"""A study that waits for its turn begins by itself, is cancelled as others are, and can be let begin."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.machine import lock
from engine.machine.process import Process
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from tests.study_lab import Lab, wait_for


def other(lab: Lab) -> RunDir:
    """Another study that runs, as far as anybody can see: its engine is this process."""
    run = RunDir.of(lab.workspace, "other-1")
    run.path.mkdir(parents=True)
    ours = {k: v for k, v in asdict(Process.this()).items() if k in Status.__dataclass_fields__}
    run.write_status(Status(state="running", **ours))
    return run


def queued(run: RunDir) -> bool:
    return run.read_status().state == "queued" and bool(run.read_status().queue)


def test_a_study_begins_when_the_one_before_it_is_over(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    before = other(lab)
    told = lab.call("run", lab.preset(), "--detach")
    assert told.returncode == 0, told.stderr
    run = RunDir.of(lab.workspace, "p-1")
    wait_for(lambda: queued(run))
    assert run.read_status().queue == "waits for its turn, after other-1"
    assert "after other-1" in lab.call("list").stdout
    time.sleep(1.0)
    assert run.read_status().done == 0, "it has begun beside the other"
    before.write_status(Status(state="done"))
    wait_for(lambda: run.read_status().state == "done")
    assert run.read_status().done == 2


def test_a_study_that_stands_still_says_whose_latency_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    monkeypatch.setenv("SECATEUR_LOCKS", lab.environment["SECATEUR_LOCKS"])
    other, waits = threading.Event(), "waits for other-1 to measure latency"

    def measure() -> None:
        with lock.exclusive(who="other-1"):
            other.wait(60)

    run = RunDir.of(lab.workspace, "p-1")
    with ThreadPoolExecutor() as threads:
        threads.submit(measure)
        started = threads.submit(lab.call, "run", lab.preset())
        try:
            wait_for(lambda: run.read_status().queue == waits)
            assert f"p-1: {waits}" in lab.call("list").stdout and waits in lab.call("show", "p-1").stdout
        finally:
            other.set()
    assert started.result().stderr.count(waits) == 1
    assert run.read_status().state == "done"


def test_one_that_waits_is_cancelled_and_let_begin(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    other(lab)
    run = RunDir.of(lab.workspace, "p-1")
    assert lab.call("run", lab.preset(), "--detach").returncode == 0
    wait_for(lambda: queued(run))
    assert lab.call("cancel", "p-1").returncode == 0
    assert run.read_status().state == "cancelled"
    assert lab.call("resume", "p-1", "--detach").returncode == 0
    wait_for(lambda: queued(run))
    assert lab.call("resume", "p-1", "--beside").returncode == 0
    assert run.read_status().state == "done"
