"""The host lock between real processes: who waits for whom, and that death gives it back."""

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.machine import lock

HOLD = """
import sys, time
from engine.machine import lock
with getattr(lock, sys.argv[1])():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECATEUR_LOCKS", str(tmp_path / "locks"))
    return tmp_path / "locks"


@pytest.fixture
def holder() -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_held(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None and process.stdout.readline() == "held\n"


def let_go(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n", timeout=10)


def soon_held(process: "subprocess.Popen[str]") -> bool:
    return bool(select.select([process.stdout], [], [], 0.4)[0])


class GaveUp(Exception):
    pass


def give_up(after: float = 0.15) -> lock.Waiting:
    def check(waited: float, holders: tuple[int, ...] | None) -> None:
        if waited >= after:
            raise GaveUp

    return check


def blocked(how: Callable[[lock.Waiting], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(lock, "REPORT_S", 0.05)
    try:
        with how(give_up()):  # type: ignore[attr-defined]
            return False
    except GaveUp:
        return True


def test_trials_share_and_a_measurement_is_alone(holder, monkeypatch):
    first = holder("shared")
    wait_held(first)
    assert not blocked(lock.shared, monkeypatch)
    assert blocked(lock.exclusive, monkeypatch)
    let_go(first)
    alone = holder("exclusive")
    wait_held(alone)
    assert blocked(lock.shared, monkeypatch)
    assert blocked(lock.exclusive, monkeypatch)
    let_go(alone)
    assert not blocked(lock.exclusive, monkeypatch)


def test_a_killed_holder_gives_the_lock_back(holder, monkeypatch):
    process = holder("exclusive")
    wait_held(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not blocked(lock.exclusive, monkeypatch)


def test_a_waiting_measurement_is_not_starved_by_new_trials(holder, monkeypatch):
    running = holder("shared")
    wait_held(running)
    measurement = holder("exclusive")
    deadline = time.monotonic() + 10
    while not blocked(lock.shared, monkeypatch):  # until it queues at the gate
        assert time.monotonic() < deadline
    let_go(running)
    wait_held(measurement)


def test_the_waiter_is_told_who_is_in_the_way(holder, monkeypatch):
    process = holder("shared")
    wait_held(process)
    seen: list[tuple[int, ...] | None] = []

    def note(waited: float, holders: tuple[int, ...] | None) -> None:
        seen.append(holders)
        if holders is not None:
            let_go(process)

    with lock.exclusive(note):
        pass
    known = Path("/proc/locks").exists()
    assert seen == [(process.pid,) if known else (), None], "and then that the wait is over"


def test_what_the_end_of_a_wait_raises_gives_the_lock_back(holder, monkeypatch):
    process = holder("exclusive")
    wait_held(process)

    def give_up(waited: float, holders: tuple[int, ...] | None) -> None:
        if holders is None:
            raise GaveUp
        let_go(process)

    with pytest.raises(GaveUp), lock.shared(give_up):
        pass
    assert not blocked(lock.exclusive, monkeypatch)


def test_who_measures_is_known_to_others_and_a_name_that_can_not_be_written_stops_nobody(
    own_folder, monkeypatch
):
    assert lock.measuring() == ""
    with lock.exclusive(who="a-long-name-1"):
        pass
    with lock.exclusive(who="b-1"):
        assert lock.measuring() == "b-1"

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(lock.os, "pwrite", full)
    with lock.exclusive(who="c-1"):
        assert lock.measuring() == ""


def test_a_forked_child_does_not_keep_its_parents_lock(monkeypatch):
    with lock.shared():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        assert not blocked(lock.exclusive, monkeypatch)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_forked_child_does_not_give_up_its_parents_lock(holder):
    child = -1
    try:
        with lock.shared():
            child = os.fork()
            if child == 0:
                raise GaveUp  # the child unwinds out of its parent's `with`
            os.waitpid(child, 0)
            assert not soon_held(holder("exclusive"))
    except GaveUp:
        os._exit(0)


def test_a_started_program_does_not_inherit_the_lock(holder, monkeypatch):
    with lock.exclusive():
        sleeper = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert not blocked(lock.exclusive, monkeypatch)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_trial_gives_up_its_share_while_it_measures(holder):
    with lock.shared():
        with lock.exclusive():
            other = holder("shared")
            assert not soon_held(other)
        wait_held(other)
        let_go(other)
        assert not soon_held(holder("exclusive")), "the share was not taken again"


def test_the_same_lock_twice_in_one_thread_is_refused_but_threads_share():
    with lock.shared():
        with pytest.raises(RuntimeError), lock.shared():
            pass
        taken = threading.Event()

        def other() -> None:
            with lock.shared():
                taken.set()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(5)
        assert taken.is_set()


def test_removed_lock_files_are_made_again(own_folder, holder, monkeypatch):
    with lock.shared():
        pass
    for file in own_folder.iterdir():
        file.unlink()
    process = holder("exclusive")
    wait_held(process)
    assert blocked(lock.shared, monkeypatch)


def test_who_waits_while_the_folder_is_removed_waits_no_longer_than_the_holder(own_folder, holder):
    process = holder("exclusive")
    wait_held(process)
    waiting = threading.Event()
    taken = []

    def take():
        with lock.shared(lambda *_: waiting.set()):
            taken.append(own_folder.is_dir())

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    assert waiting.wait(10)
    shutil.rmtree(own_folder)
    let_go(process)
    thread.join(10)
    assert taken == [True]


def test_a_folder_that_is_not_ours_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECATEUR_LOCKS", str(tmp_path / "file"))
    with pytest.raises(SecateurError, match="lock folder"), lock.shared():
        pass
