"""A lock for the whole machine, so that latency is measured while nothing else of ours computes.

A trial computes under `shared()`, a latency measurement runs under `exclusive()`: measurements wait for
running trials, and trials for a running measurement, across every study of the same user on this host.

The lock is the kernel's `flock` on a file that is local to the host (the workspace may lie on NFS), so a
process that dies, however it dies, gives it back. Two files make it fair: whoever wants the lock first
passes the *gate*, and a measurement keeps the gate closed while it waits for the *room* to empty, so
that a stream of new trials cannot starve it.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.machine import private

Waiting = Callable[[float, tuple[int, ...] | None], None]
"""Called with the seconds waited so far and the processes in the way, which are None once the wait is over; what it
raises ends the wait."""

POLL_S = 0.02
"""Between two tries. Polling, not blocking, so that a waiter can report and be cancelled."""
REPORT_S = 1.0
"""Between two calls of a waiter's callback."""

_open_files: set[int] = set()
_opening = threading.Lock()
_mine = threading.local()


@contextlib.contextmanager
def shared(on_wait: Waiting | None = None) -> Iterator[None]:
    """Hold while a trial computes. Any number of processes hold it at once; none while one is `exclusive`.

    Raises RuntimeError when this thread already holds a lock, which could wait for itself.
    """
    _refuse_nested()
    held = _Held(exclusive=False, on_wait=on_wait)
    _mine.held = held
    try:
        yield
    finally:
        _mine.held = None
        held.release()


@contextlib.contextmanager
def exclusive(on_wait: Waiting | None = None, who: str = "") -> Iterator[None]:
    """Hold while latency is measured: alone on this host. `who` measures, for `measuring`.

    Within `shared()` of the same thread, the shared lock is given up meanwhile and taken again at the end.
    """
    outer: _Held | None = getattr(_mine, "held", None)
    if outer is not None and outer.exclusive:
        _refuse_nested()
    if outer is not None:
        outer.release()
    try:
        held = _Held(exclusive=True, on_wait=on_wait, who=who)
        _mine.held = held
        try:
            yield
        finally:
            held.release()
    finally:
        _mine.held = outer
        if outer is not None:
            outer.acquire()


def measuring() -> str:
    """Who measures latency on this host, or waits to, for one that waits for that; empty where it is not known."""
    try:
        return (private.folder() / "gate").read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _refuse_nested() -> None:
    if getattr(_mine, "held", None) is not None:
        raise RuntimeError("this thread already holds the host lock")


class _Held:
    """The lock as one thread of one process holds it."""

    def __init__(self, *, exclusive: bool, on_wait: Waiting | None, who: str = "") -> None:
        self.exclusive = exclusive
        self._who = who
        self._on_wait = on_wait
        self._acquired = False
        self.acquire()

    def acquire(self) -> None:
        wait = _Wait(self._on_wait)
        gate = _lock("gate", fcntl.LOCK_EX, wait)
        try:
            if self.exclusive:
                _write(gate, self._who)
            mode = fcntl.LOCK_EX if self.exclusive else fcntl.LOCK_SH
            file = _lock("room", mode, wait)
        finally:
            _unlock(gate)
        try:
            wait.over()
        except BaseException:
            _unlock(file)
            raise
        self._file, self._pid, self._acquired = file, os.getpid(), True

    def release(self) -> None:
        # A forked child that unwinds its parent's `with` must not touch the parent's lock: its copy of
        # the descriptor was closed at the fork and the number may be another file's by now.
        if self._acquired and self._pid == os.getpid():
            self._acquired = False
            _unlock(self._file)


class _Wait:
    """Sleeps between tries, and reports about once a second."""

    def __init__(self, on_wait: Waiting | None) -> None:
        self._on_wait = on_wait
        self._start = time.monotonic()
        self._next = self._start
        self._reported = False

    def pause(self, file: int) -> None:
        now = time.monotonic()
        if self._on_wait is not None and now >= self._next:
            self._on_wait(now - self._start, _holders(file))
            self._next, self._reported = now + REPORT_S, True
        time.sleep(POLL_S)

    def over(self) -> None:
        if self._on_wait is not None and self._reported:
            self._on_wait(time.monotonic() - self._start, None)


def _lock(name: str, mode: int, wait: _Wait) -> int:
    """An open file of that name with the lock, once nobody is in the way."""
    path = private.folder() / name
    file = _open(path)
    try:
        while True:
            if not _try(file, mode):
                wait.pause(file)
            elif _is_at(file, path):
                return file
            else:  # a cleaner of the temporary folder removed it, or the folder: others lock its successor
                path = private.folder() / name
                successor = _open(path)
                _unlock(file)
                file = successor
    except BaseException:
        _unlock(file)
        raise


def _try(file: int, mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    # The guard makes opening and noting one act, so that no fork in another thread slips between.
    with _opening:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _open_files.add(file)
    return file


def _unlock(file: int) -> None:
    with _opening:
        _open_files.discard(file)
        # Explicitly, not only by closing: a copy of the descriptor elsewhere would keep the lock.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _write(file: int, who: str) -> None:
    with contextlib.suppress(OSError):  # a full disk keeps nobody from measuring
        os.ftruncate(file, 0)
        os.pwrite(file, who.encode(), 0)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holders(file: int) -> tuple[int, ...]:
    """Processes that hold a lock on `file`, as far as the kernel tells (`/proc/locks`)."""
    info = os.fstat(file)
    mark = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ()
    rows = [line.split() for line in lines if mark in line and "->" not in line]
    pids = {int(row[4]) for row in rows if row[1] == "FLOCK"}
    return tuple(sorted(pid for pid in pids if pid > 0))  # 0: in another container


def _before_fork() -> None:
    _opening.acquire()


def _after_fork_in_parent() -> None:
    _opening.release()


def _after_fork_in_child() -> None:
    """Close the child's copies of lock files: if it outlives its parent, it must not keep the lock."""
    global _opening
    for file in _open_files:
        os.close(file)
    _open_files.clear()
    _opening = threading.Lock()
    _mine.held = None


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
