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
from engine.runner.executors.base import KILLS_BORNE, SERVER_KILLED, WORKER_KILLED, JobEnded, Message, Retry
from engine.studies import events as ev
from engine.studies.job import SERVER_GONE, STOP, JobRequest
from engine.studies.plan import Job

FIRST = ("engine.runner.executors.server", "engine.compute.worker.warm")
LAST = "engine.runner.executors.imported"
"""What the process that workers are forked from has imported in any case, before and behind all else."""
START_TRIES = 3
"""How often a worker's start is tried when the process that it is forked from ends by itself."""
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
        self._context.set_forkserver_preload([*FIRST, *preload, LAST])

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
        ends: list[str] = []
        oom_kills, own = limits.oom_kills(), 0
        while own < START_TRIES and len(ends) < KILLS_BORNE:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(request, theirs), name=name)
            try:
                with signals.blocked():
                    resource_tracker.ensure_running()
                    signals.block()  # starting the tracker lets two of them through
                    process.start()
                return process, ours
            except (EOFError, OSError) as error:
                # The server has ended meanwhile: the next try starts another.
                ours.close()
                code = _end_of_server()
                own += code != -signal.SIGKILL or limits.oom_kills() > oom_kills
                ends.append(str(error) if code is None else _ending(code))
            finally:
                theirs.close()
        raise SecateurError(
            "No worker could be started",
            f"The process that workers are forked from ended {len(ends)} times, at last: {ends[-1]}. "
            f"{_limits()}".strip(),
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
        out_of_memory = limits.oom_kills() > worker.oom_kills
        return JobEnded(worker.job, explain_exit(code, out_of_memory), _retry(code, out_of_memory))

    def ask(self) -> None:
        for worker in self._workers.values():
            with contextlib.suppress(OSError):  # it has just ended
                worker.connection.send_bytes(STOP)

    def stop(self) -> None:
        for worker in self._workers.values():
            _kill(worker.process)
            worker.connection.close()
        self._workers.clear()


def _end_of_server() -> int | None:
    """How the server ended, as a process's exit code; None if it has not, or that is not known.

    A process that was killed closes its connections before it is gone, and only then another is started. It is gone
    when all its threads are, which its state in /proc, its first thread's, does not tell.
    """
    pid: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    deadline = time.monotonic() + END_AFTER_S
    with contextlib.suppress(ChildProcessError):
        while pid is not None and time.monotonic() < deadline:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            time.sleep(0.02)
    return None


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


def _retry(code: int | None, out_of_memory: bool) -> Retry | None:
    """Whether a worker's end says nothing against its job: somebody killed it, or the server that it came from."""
    if code == -signal.SIGKILL and not out_of_memory:
        return WORKER_KILLED
    return SERVER_KILLED if code == SERVER_GONE else None


def _limits() -> str:
    """The limits that a worker may have met, one of a library's threads or allocations with it."""
    return limits.sentence(*STARTING, after=True)


def _ending(code: int) -> str:
    """How a process ended, by its exit code: the name of the signal, or ``exit code 1``."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


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
    name = _ending(code)
    if code == -signal.SIGKILL:
        cause = (
            ": the kernel did it because memory ran out"
            if out_of_memory
            else ", and so did the one before it: most often for want of memory"
        )
        return {
            "title": "The worker was killed" + (": out of memory" if out_of_memory else ""),
            "detail": f"It got {name}{cause}. {limits.sentence('memory', after=True)}".strip(),
            "remedy": f"{LESS_MEMORY}; then `secateur resume`: nothing finished is lost.",
        }
    return {
        "title": "The worker crashed",
        "detail": f"It got {name}. {_limits()}".strip(),
        "remedy": "The engine's log has its traceback. `secateur resume` tries again.",
    }
