"""Runs jobs on this machine, in processes forked from one that has torch imported already."""

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from engine.errors import LESS_MEMORY, SecateurError
from engine.machine import limits, signals
from engine.machine.gpus import Gpu, slots
from engine.runner.executors.base import JobEnded, Message
from engine.studies import events as ev
from engine.studies.job import SERVER_GONE, STOP, JobRequest
from engine.studies.plan import Job

WARM = ("engine.runner.executors.server", "engine.compute.worker.warm")
"""What the process that workers are forked from has imported in any case."""
START_TRIES = 3
"""How often a worker's start is tried when the process that it is forked from has gone."""
STARTING = ("memory", "address space", "data", "processes", "open files")
"""Limits that can end a worker without a word; torch's libraries alone take some gigabytes of address space."""
END_AFTER_S = 5.0
"""How long a worker may take to end before it is killed."""


@dataclass
class _Worker:
    job: Job
    slot: int
    process: BaseProcess
    connection: Connection
    oom_kills: int


class LocalExecutor:
    """`parallel` workers at a time, each on processors, and on GPUs, of its own where there are enough.

    A worker has `threads` for each of the `processes` that it trains with, and as many GPUs.
    """

    def __init__(
        self,
        make: Callable[[Job, list[int] | None], JobRequest],
        parallel: int,
        threads: int,
        *,
        processes: int = 1,
        gpus: Sequence[Gpu] = (),
        preload: Sequence[str] = (),
    ) -> None:
        self._make = make
        self._slots = cpu_slots(parallel, threads * processes)
        self._gpus = slots(gpus, parallel, processes)
        self._workers: dict[int, _Worker] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*WARM, *preload])

    def has_room(self, job: Job) -> bool:
        if job.exclusive:
            return not self._workers
        alone = any(worker.job.exclusive for worker in self._workers.values())
        return not alone and len(self._workers) < len(self._slots)

    def start(self, job: Job) -> None:
        slot = min(set(range(len(self._slots))) - self._workers.keys())
        request = replace(self._make(job, self._slots[slot]), gpus=self._gpus[slot])
        process, connection = self._fork(request.to_json(), f"job-{job.number}")
        self._workers[slot] = _Worker(job, slot, process, connection, limits.oom_kills())

    def _fork(self, request: str, name: str) -> tuple[BaseProcess, Connection]:
        """A new worker; SecateurError when the process that it is forked from keeps dying."""
        for _ in range(START_TRIES):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(request, theirs), name=name)
            try:
                with signals.blocked():
                    resource_tracker.ensure_running()
                    signals.block()  # starting the tracker lets two of them through
                    process.start()
                return process, ours
            except (EOFError, OSError):  # the server was killed meanwhile: the next try starts another
                ours.close()
                _await_end_of_server()
            finally:
                theirs.close()
        raise SecateurError(
            "No worker could be started",
            f"The process that workers are forked from ended {START_TRIES} times. {_limits()}".strip(),
            "The engine's log has more: it may be an incomplete installation (`secateur doctor`) or too "
            "little memory. `secateur resume` tries again.",
        )

    def wait(self, timeout: float) -> list[Message]:
        ready = multiprocessing.connection.wait([w.connection for w in self._workers.values()], timeout)
        messages: list[Message] = []
        for worker in list(self._workers.values()):
            if worker.connection in ready and not _drain(worker.connection, messages):
                messages.append(self._reap(worker))
        return messages

    def _reap(self, worker: _Worker) -> JobEnded:
        del self._workers[worker.slot]
        _end(worker.process, grace=END_AFTER_S)
        worker.connection.close()
        code = worker.process.exitcode
        if code == 0:
            return JobEnded(worker.job, None)
        problem = explain_exit(code, limits.oom_kills() > worker.oom_kills)
        return JobEnded(worker.job, problem, blameless=code == SERVER_GONE)

    def ask(self) -> None:
        for worker in self._workers.values():
            with contextlib.suppress(OSError):  # it has just ended
                worker.connection.send_bytes(STOP)

    def stop(self) -> None:
        for worker in self._workers.values():
            _kill(worker.process)
            worker.connection.close()
        self._workers.clear()


def _await_end_of_server() -> None:
    """A process that was killed closes its connections before it is gone, and only then another is started.

    It is gone when all its threads are, which its state in /proc, its first thread's, does not tell.
    """
    pid: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    deadline = time.monotonic() + END_AFTER_S
    with contextlib.suppress(ChildProcessError):
        while pid is not None and time.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.02)


def _work(request: str, connection: Connection) -> None:
    """What a worker process runs; torch is imported there and nowhere else.

    It has a process group of its own, with the processes that it starts, and hears no signal that asks for an end:
    its engine does, and tells it.
    """
    os.setpgid(0, 0)
    signals.block()
    from engine.compute.worker.process import work

    work(request, connection)


def _drain(connection: Connection, messages: list[Message]) -> bool:
    """Read every message that is there; False when the worker has closed its end."""
    try:
        while connection.poll():
            event = ev.from_dict(json.loads(connection.recv_bytes()))
            if event is not None:
                messages.append(event)
    except (EOFError, OSError):  # closed, or its sender was killed in the middle of a message
        return False
    return True


def _end(process: BaseProcess, grace: float) -> None:
    process.join(grace)
    if process.is_alive():
        _kill(process)


def _kill(process: BaseProcess) -> None:
    """Kill a worker's group. One that waits for a dead disk is not gone before the disk answers: it is left to that."""
    if process.pid is not None and process.is_alive():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join(END_AFTER_S)


def cpu_slots(parallel: int, threads: int) -> list[list[int] | None]:
    """Processors for each of `parallel` workers: `threads` each, or None (not pinned) if too few are there.

    >>> cpu_slots(1, 10_000)
    [None]
    """
    cpus = sorted(os.sched_getaffinity(0))
    if parallel * threads > len(cpus):
        return [None] * parallel
    return [cpus[i * threads : (i + 1) * threads] for i in range(parallel)]


def _limits() -> str:
    """The limits that a worker may have met, one of a library's threads or allocations with it."""
    return limits.told(*STARTING, after=True)


def explain_exit(code: int | None, out_of_memory: bool) -> dict[str, str]:
    """Why a worker ended without saying so, as an error's title, detail and remedy."""
    if code == SERVER_GONE:
        return {
            "title": "A worker ended without a result",
            "detail": f"The process that workers are forked from was killed, again and again. {_limits()}".strip(),
            "remedy": "`secateur resume` tries again: nothing finished is lost.",
        }
    if code is None or code >= 0:
        return {
            "title": "A worker ended without a result",
            "detail": f"Its exit code was {code}. {_limits()}".strip(),
            "remedy": "The engine's log has more. `secateur resume` tries again.",
        }
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if code == -signal.SIGKILL:
        cause = (
            "the kernel did it because memory ran out" if out_of_memory else "most often for want of memory"
        )
        return {
            "title": "The worker was killed" + (": out of memory" if out_of_memory else ""),
            "detail": f"It got {name}: {cause}. {limits.told('memory', after=True)}".strip(),
            "remedy": f"{LESS_MEMORY}; then `secateur resume`: nothing finished is lost.",
        }
    return {
        "title": "The worker crashed",
        "detail": f"It got {name}. {_limits()}".strip(),
        "remedy": "The engine's log has its traceback. `secateur resume` tries again.",
    }
