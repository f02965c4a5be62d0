"""A worker process: takes one job, sends events, ends with its engine."""

import json
import os
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine import sources
from engine.compute import usercode
from engine.compute.latency.forks import ServerGone
from engine.compute.stopping import Stopped, Stopping
from engine.compute.worker import checkup, latency, reach, steps
from engine.compute.worker.explain import explain
from engine.compute.worker.setup import see, settle, tell_warnings
from engine.compute.worker.together import Team
from engine.errors import UsageError
from engine.studies import events as ev
from engine.studies.checkup import CHECKUP, REACH
from engine.studies.job import SERVER_GONE, STOP, JobRequest
from engine.text.visible import guard_streams

_sending = threading.RLock()
"""A long message goes out in several writes: what torch's threads warn of meanwhile, or what is told by the one that
watches a training in several processes, would get into it."""
ANSWER_WITHIN_S = 3.0
"""How long a worker that has nothing to keep may take to stop: it may hang in a read."""


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
        see(request.gpus, 0)
        settle(request.threads)
        tell_warnings(
            lambda text: _send(connection, ev.Notice(level="warning", text=text, key=current["key"]))
        )
        usercode.use(sources.read(Path(request.code)) if request.code else None)
        if current["kind"] == "latency":
            latency.run(request, send)
        elif current["kind"] == CHECKUP:
            checkup.run(request, send)
        elif current["kind"] == REACH:
            reach.run(request, send)
        else:
            team = Team(request, lambda problem: _give_up(connection, current, problem))
            with team.at_work():
                steps.run(request, send, stopping, team.order)
    except Stopped:
        pass
    except ServerGone:
        os._exit(SERVER_GONE)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the one broad except: a trial's end is reported, the study goes on
        traceback.print_exc()
        problem = explain(error, current["address"])
        refused = isinstance(problem, UsageError)
        failed = ev.StepFailed(
            key=current["key"], kind=current["kind"], error=problem.as_dict(), refused=refused
        )
        _send(connection, failed)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.close()


def _give_up(connection: Connection, node: dict[str, Any], problem: dict[str, str]) -> None:
    """End where the step can't go on, whatever waits in it."""
    _send(connection, ev.StepFailed(key=node["key"], kind=node["kind"], error=problem))
    connection.close()
    os._exit(0)


def _send(connection: Connection, event: ev.Event) -> None:
    message = json.dumps(ev.as_dict(event)).encode()
    try:
        with _sending:
            connection.send_bytes(message)
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
