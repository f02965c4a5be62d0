"""What every executor promises, whichever it is: add yours to `EXECUTORS`."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import datasets
from engine.presets import spec
from engine.runner.executors.base import Executor, JobEnded, Message
from engine.runner.executors.choose import machine
from engine.runner.executors.local import LocalExecutor
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.job import JobRequest, request
from engine.studies.plan import Job, Plan, data_id, make
from engine.studies.rundir import RunDir

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps: [{train: {epochs: EPOCHS, batch: 32}}]
sweep: {train.learning_rate: [0.1, 0.2]}
measure: {latency: {runtimes: [torch], batch: [1], blocks: 3, block_ms: 1, warmup_ms: 1}}
"""
PARALLEL = 2
Make = Callable[[Job, list[int] | None], JobRequest]


def local(make_request: Make) -> Executor:
    return LocalExecutor(make_request, PARALLEL, 1)


EXECUTORS: dict[str, Callable[[Make], Executor]] = {"local": local}


class Bench:
    """An executor with the jobs of a small study: `computing` ones and an `exclusive` one."""

    def __init__(self, start: Callable[[Make], Executor], folder: Path, epochs: int) -> None:
        read = spec.parse(PRESET.replace("EPOCHS", str(epochs)), "p")
        data = read.settings.data
        found = datasets.fingerprint(data, datasets.locate(data, folder), folder / "fingerprints")
        assert found is not None
        self.plan: Plan = make(read, {data_id(trial): found for trial in read.trials}, machine(read.settings))
        self.computing = [job for job in self.plan.jobs if not job.exclusive]
        self.exclusive = [job for job in self.plan.jobs if job.exclusive]
        run, store = RunDir.of(folder, "p-1"), Store(folder / "store")
        self.executor = start(lambda job, cpus: request(job, self.plan, run, store, cpus))

    def until(self, enough: Callable[[list[Message]], Any], seconds: float = 60.0) -> list[Message]:
        """Messages up to the first for which `enough` holds."""
        messages: list[Message] = []
        deadline = time.monotonic() + seconds
        while not enough(messages):
            assert time.monotonic() < deadline, messages
            messages += self.executor.wait(0.2)
        return messages


@pytest.fixture(params=EXECUTORS.values(), ids=EXECUTORS.keys())
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SECATEUR_LOCKS", str(tmp_path / "locks"))
    made: list[Bench] = []

    def build(epochs: int = 1) -> Bench:
        made.append(Bench(request.param, tmp_path, epochs))
        return made[-1]

    yield build
    for found in made:
        found.executor.stop()


def ended(messages: list[Message]) -> list[JobEnded]:
    return [message for message in messages if isinstance(message, JobEnded)]


def pid_in(messages: list[Message]) -> int:
    return next((m.pid for m in messages if isinstance(m, ev.StepStarted)), 0)


def test_events_come_in_order_and_the_end_after_them(bench: Any) -> None:
    found: Bench = bench(epochs=2)
    job, blocked = found.computing[0], signal.pthread_sigmask(signal.SIG_BLOCK, ())
    found.executor.start(job)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked, "signals are its caller's"
    messages = found.until(ended)
    assert ended(messages) == [JobEnded(job, None)]
    assert messages[-1] == JobEnded(job, None)
    steps = [(type(m), m.key) for m in messages if isinstance(m, ev.StepStarted | ev.StepFinished)]
    assert steps == [(kind, node.key) for node in job.nodes for kind in (ev.StepStarted, ev.StepFinished)]
    assert [m.epoch for m in messages if isinstance(m, ev.EpochFinished)] == [1, 2]


def test_there_is_room_for_so_many_jobs_and_an_exclusive_one_runs_alone(bench: Any) -> None:
    found: Bench = bench()
    executor, (first, second), (alone, _) = found.executor, found.computing, found.exclusive
    assert executor.has_room(first)
    assert executor.has_room(alone)
    executor.start(first)
    assert executor.has_room(second)
    assert not executor.has_room(alone)
    executor.start(second)
    assert not executor.has_room(first)
    found.until(lambda messages: len(ended(messages)) == PARALLEL)
    assert executor.has_room(alone)
    executor.start(alone)
    assert not executor.has_room(first)
    (end,) = ended(found.until(ended))
    assert (end.job, end.problem) == (alone, None)
    assert executor.has_room(first)


def test_a_killed_worker_is_explained_and_leaves_room(bench: Any) -> None:
    found: Bench = bench(epochs=1000)
    found.executor.start(found.computing[0])
    os.kill(pid_in(found.until(pid_in)), signal.SIGKILL)
    (end,) = ended(found.until(ended))
    assert end.job == found.computing[0]
    assert end.problem is not None
    assert "SIGKILL" in end.problem["detail"]
    assert end.again(0) is not None, "somebody may have killed it"
    assert end.again(1) is None
    assert "secateur resume" in end.problem["remedy"]
    assert found.executor.has_room(found.computing[1])


def test_stopping_ends_everything_at_once(bench: Any) -> None:
    found: Bench = bench(epochs=1000)
    for job in found.computing:
        found.executor.start(job)
    messages = found.until(lambda m: len([e for e in m if isinstance(e, ev.StepStarted)]) == PARALLEL)
    pids = [message.pid for message in messages if isinstance(message, ev.StepStarted)]
    before = time.monotonic()
    found.executor.stop()
    assert time.monotonic() - before < 10
    assert not any(_runs(pid) for pid in pids)
    assert found.executor.wait(0.0) == []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_waiting_for_nothing_takes_its_time(bench: Any) -> None:
    """A supervisor that has nothing running must not spin."""
    found: Bench = bench()
    before = time.monotonic()
    assert found.executor.wait(0.2) == []
    assert time.monotonic() - before >= 0.2
