"""The processes that train with a worker: who starts them, what they are told, and what becomes of them.

The worker, number 0, does all of its job. Where a step trains on the labels or by a teacher, it tells the others the
step's key, and each of them makes the same model from the store, joins the training, and waits for the next. Only the
worker scores, keeps and tells. Whoever loses the others ends.
"""

import contextlib
import datetime
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torch import distributed

from engine import sources
from engine.compute import usercode
from engine.compute.latency import forks
from engine.compute.numerics.group import Group
from engine.compute.worker import steps
from engine.compute.worker.explain import explain
from engine.compute.worker.setup import see, settle
from engine.errors import SecateurError
from engine.machine import gpus, private
from engine.slurm import span
from engine.studies.job import JobRequest

END = "end"
TIMEOUT = datetime.timedelta(hours=12)
"""How long a process waits for the others, which may score or keep: one that is gone is known at once otherwise."""
LOOK_EVERY_S = 0.2
RAISES_WITHIN_S = 5.0
"""In which gloo tells that another process is gone; NCCL waits for it."""
END_WITHIN_S = 10.0
LOOPBACK = "lo"
_stores: Any = distributed
"""torch's own type hints leave its stores out."""


class Team:
    """The worker's hold on the processes that train with it, which are started when they are first needed."""

    def __init__(self, request: JobRequest, fail: Callable[[dict[str, str]], None]) -> None:
        self._request = request
        self._fail = fail
        settings = request.read_settings()
        self._wanted = settings.distributed
        self._here = self._wanted.here(settings.executor.slurm)
        self._orders = 0
        self._store: Any = None
        self._ending = False
        self._helpers: list[tuple[BaseProcess, Connection]] = []
        self._elsewhere: span.Elsewhere | None = None
        self._folders = contextlib.ExitStack()

    def order(self, key: str) -> Group | None:
        """Have the others do the step `key` with us; None for a worker that trains alone."""
        if self._wanted.processes == 1:
            return None
        if self._store is None:
            self._start()
        self._say(key)
        return Group(0, self._wanted.processes, self._wanted.batch_norm)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While it lasts the others may be needed; they are let go at its end, however it ends.

        Raises SecateurError with the reason where one of them has ended before.
        """
        try:
            yield
            self._end()
        except RuntimeError as error:  # what exchanging with a process that is gone raises
            gone = self._gone(RAISES_WITHIN_S) if self._store is not None else ""
            if not gone:
                raise
            raise SecateurError(**self._reason(gone)) from error
        finally:
            self._ending = True
            for _, pipe in self._helpers:
                pipe.close()  # which ends those that are still there
            if self._elsewhere is not None:
                self._elsewhere.end(0.0)
            self._folders.close()

    def _end(self) -> None:
        if self._store is None:
            return
        self._ending = True
        self._say(END)
        deadline = time.monotonic() + END_WITHIN_S
        for helper, _ in self._helpers:
            helper.join(max(0.0, deadline - time.monotonic()))
        if self._elsewhere is not None:
            self._elsewhere.end(END_WITHIN_S)
        distributed.destroy_process_group()

    def _say(self, order: str) -> None:
        self._store.set(f"order/{self._orders}", order)
        self._orders += 1

    def _start(self) -> None:
        size = self._wanted.processes
        apart = size > self._here
        self._store, place = self._meeting(size, apart)
        for rank in range(1, self._here):
            ours, theirs = Pipe()
            helper = forks.start(help_out, (self._request.to_json(), rank, place, os.getpgrp(), theirs))
            theirs.close()
            self._helpers.append((helper, ours))
        if apart:
            self._elsewhere = span.start(self._request.to_json(), place, self._here, size - self._here)
        threading.Thread(target=self._watch, daemon=True).start()
        join(self._store, 0, size, self._request.device, apart)

    def _meeting(self, size: int, apart: bool) -> tuple[Any, str]:
        """Where the processes meet: a file of this user's on one node, else a port of the worker's node."""
        if not apart:
            folder = self._folders.enter_context(private.scratch(private.folder(), "together-"))
            file = str(folder / "meeting")
            return _stores.FileStore(file, size), file
        host = span.address()
        store = _stores.TCPStore(host, 0, size, is_master=True, timeout=TIMEOUT, wait_for_workers=False)
        return store, f"{host}:{store.port}"

    def _watch(self) -> None:
        """Tell of a helper's end that nobody asked for, where computing with it waits for ever."""
        while not self._ending:
            if gone := self._gone(0.0):
                time.sleep(RAISES_WITHIN_S)
                if not self._ending:
                    self._fail(self._reason(gone))
            time.sleep(LOOK_EVERY_S)

    def _gone(self, within_s: float) -> str:
        """Who of the others has ended, at last after so many seconds; empty if nobody has."""
        deadline = time.monotonic() + within_s
        while True:
            for helper, _ in self._helpers:
                if not helper.is_alive():
                    return f"process {helper.pid} (exit code {helper.exitcode})"
            if self._elsewhere is not None and (ended := self._elsewhere.ended()):
                return ended
            if time.monotonic() >= deadline:
                return ""
            time.sleep(LOOK_EVERY_S)

    def _reason(self, gone: str) -> dict[str, str]:
        if self._store.check(["error"]):
            found: dict[str, str] = json.loads(self._store.get("error"))
            return found
        return SecateurError(
            "One of the processes that train together has ended",
            f"It is {gone}. Most often memory ran out, of the machine or of a GPU.",
            "The engine's log has more. `secateur resume` goes on from what was kept.",
        ).as_dict()


def help_out(text: str, rank: int, place: str, group: int, leader: Connection) -> None:
    """Entry of a helper on the worker's own node: it belongs to the worker's process group, and ends with it."""
    with contextlib.suppress(OSError):
        os.setpgid(0, group)
    threading.Thread(target=_end_with, args=(leader,), daemon=True).start()
    request = JobRequest.from_json(text)
    see(request.gpus, rank)
    if request.cpus is not None:
        each = request.threads
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, request.cpus[rank * each : (rank + 1) * each])
    _serve(request, rank, place)


def help_out_elsewhere(text: str, place: str, first: int) -> None:
    """Entry of a helper on another node of a Slurm job, which `srun` has started with its number there."""
    request = JobRequest.from_json(text)
    settings = request.read_settings()
    if request.device == "cuda":
        own = gpus.slots(
            gpus.of_device(settings.device), 1, settings.distributed.here(settings.executor.slurm)
        )[0]
        see(own, span.place_on_node())
    _serve(request, first + span.number(), place)


def join(store: Any, rank: int, size: int, device: str, apart: bool) -> None:
    """Become number `rank` of `size` processes that exchange tensors."""
    if not apart:
        # By the host's name gloo would look for a network, which a machine by itself need not have.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)


def _found(place: str, size: int) -> Any:
    host, colon, port = place.rpartition(":")
    if colon and port.isdigit():
        return _stores.TCPStore(host, int(port), size, timeout=TIMEOUT, wait_for_workers=False)
    return _stores.FileStore(place, size)


def _end_with(leader: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        leader.recv_bytes()
    os._exit(1)


def _serve(request: JobRequest, rank: int, place: str) -> None:
    """Do what the worker orders, until it ends the team; an error is left for it to tell."""
    settings = request.read_settings()
    wanted = settings.distributed
    store = _found(place, wanted.processes)
    try:
        settle(request.threads)
        usercode.use(sources.read(Path(request.code)) if request.code else None)
        apart = wanted.here(settings.executor.slurm) < wanted.processes
        join(store, rank, wanted.processes, request.device, apart)
        work = steps.helper(request, Group(rank, wanted.processes, wanted.batch_norm))
        for order in _orders(store):
            work(order)
    except Exception as error:  # noqa: BLE001 - it ends here, and the worker tells of it
        traceback.print_exc()
        store.set("error", json.dumps(explain(error).as_dict()))
        os._exit(1)
    distributed.destroy_process_group()


def _orders(store: Any) -> Iterator[str]:
    number = 0
    while (order := store.get(f"order/{number}").decode()) != END:
        yield order
        number += 1
