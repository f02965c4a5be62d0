"""A worker process: takes one job, sends events, ends with its engine."""

import errno
import json
import os
import re
import sys
import threading
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from engine import sources
from engine.compute import usercode
from engine.compute.latency.forks import ServerGone
from engine.compute.memory import keep_freed, lacks_memory, out_of_memory
from engine.compute.stopping import Stopped, Stopping
from engine.compute.usercode import own_error
from engine.compute.worker import checkup, latency, steps
from engine.errors import LESS_MEMORY, SecateurError, UsageError, sentences
from engine.machine import limits, procfs
from engine.store.files import explanation
from engine.studies import events as ev
from engine.studies.checkup import CHECKUP
from engine.studies.job import SERVER_GONE, STOP, JobRequest
from engine.text.numbers import size
from engine.text.visible import guard_streams

ANSWER_WITHIN_S = 3.0
"""How long a worker that has nothing to keep may take to stop: it may hang in a read."""
NO_THREAD = "can't start new thread"


def work(text: str, connection: Connection) -> None:
    """Do the job in `text`; exit code 0 even if a step failed, as long as that was reported, or if the engine asked
    for the end."""
    guard_streams()
    stopping = Stopping()
    _hear(connection, stopping)
    request = JobRequest.from_json(text)
    current = request.nodes[0]

    def send(event: ev.Event) -> None:
        nonlocal current
        if isinstance(event, ev.StepStarted):
            current = next(node for node in request.nodes if node["key"] == event.key)
        _send(connection, event)
        stopping.check()

    try:
        if request.cpus is not None:
            os.sched_setaffinity(0, request.cpus)
        settle(request.threads)
        usercode.use(sources.read(Path(request.code)) if request.code else None)
        if current["kind"] == "latency":
            latency.run(request, send)
        elif current["kind"] == CHECKUP:
            checkup.run(request, send)
        else:
            steps.run(request, send, stopping)
    except Stopped:
        pass
    except ServerGone:
        os._exit(SERVER_GONE)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the one broad except: a trial's end is reported, the study goes on
        traceback.print_exc()
        problem = explain(error)
        refused = isinstance(problem, UsageError)
        failed = ev.StepFailed(
            key=current["key"], kind=current["kind"], error=problem.as_dict(), refused=refused
        )
        _send(connection, failed)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.close()


def _send(connection: Connection, event: ev.Event) -> None:
    try:
        connection.send_bytes(json.dumps(ev.as_dict(event)).encode())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the engine is gone


def _hear(connection: Connection, stopping: Stopping) -> None:
    """End this process as soon as the engine's end of the pipe closes, or soon after the engine asks for it."""

    def end() -> None:
        time.sleep(ANSWER_WITHIN_S)
        if not stopping.keeps:
            os._exit(0)

    def listen() -> None:
        while True:
            try:
                if connection.recv_bytes() == STOP:
                    stopping.ask()
                    threading.Thread(target=end, daemon=True).start()
            except (EOFError, OSError):
                os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def settle(threads: int) -> None:
    """Threads and deterministic arithmetic, before anything is computed."""
    torch.set_num_threads(threads)
    keep_freed()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new tensors is for operations that read what they have not written; it costs a tenth of training.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def _system_error(error: BaseException, text: str) -> SecateurError | None:
    """A full disk and its like, also as safetensors tells them: in words only."""
    described = re.search(r"os error ([0-9]+)", text)
    number = int(described[1]) if described else getattr(error, "errno", None)
    return explanation(number, str(getattr(error, "filename", None) or ""))


def explain(error: BaseException) -> SecateurError:
    """`error` as one a user can act on; an unforeseen one says that it is a bug, and where the traceback is."""
    if isinstance(error, SecateurError):
        return error
    text = str(error).strip()
    if known := _system_error(error, text):
        return known
    if isinstance(error, torch.OutOfMemoryError):
        return out_of_memory()
    if lacks_memory(error):
        first = text.splitlines()[0] if text else "An allocation failed"
        used = f"This worker has used {size(procfs.peak_rss())}"
        return SecateurError(
            "Out of memory",
            sentences(first, used, limits.sentence("memory", "address space", "data")),
            f"{LESS_MEMORY}; then `secateur resume`.",
        )
    if NO_THREAD in text or getattr(error, "errno", None) == errno.EAGAIN:
        return SecateurError(
            "No more threads or processes can be started",
            sentences(text.splitlines()[0], limits.sentence("processes", "memory", "address space")),
            "Use a smaller `threads` or executor.local.parallel, or raise the limit; then `secateur resume`.",
        )
    if own := own_error(error):
        return own
    return SecateurError(
        f"Unexpected {type(error).__name__}",
        text.splitlines()[0] if text else "",
        "This may be a bug of secateur's: the traceback is in the study's engine.log.",
    )
