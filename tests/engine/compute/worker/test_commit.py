"""What jobs do around a node."""

import threading
from dataclasses import replace

import pytest

from engine.compute.worker.commit import alone, computing, rarely
from engine.machine import lock
from engine.studies.plan import Node


def test_waiting_is_told_at_once_and_then_every_fifteen_seconds():
    told = []
    report = rarely(lambda seconds, processes: told.append((seconds, processes)))
    for second in range(40):
        report(float(second), (7,))
    assert told == [(0.0, (7,)), (15.0, (7,)), (30.0, (7,))]


class _Waits(Exception):
    pass


def _others_may_compute() -> bool:
    """Whether somebody else gets the machine's lock at once."""

    def wait(*_: object) -> None:
        raise _Waits

    got = []

    def take() -> None:
        try:
            with lock.shared(wait):
                got.append(True)
        except _Waits:
            pass

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return bool(got)


@pytest.mark.parametrize(("kind", "apart"), [("sensitivity", True), ("prune.channels", False)])
def test_a_table_has_the_machine_alone_while_it_is_timed_and_no_longer(kind: str, apart: bool) -> None:
    node = Node("k", kind, kind, {}, None, 0, exclusive=True)
    with computing(node, lambda _: None):
        assert _others_may_compute() == apart
        with alone(node, lambda _: None):
            assert not _others_may_compute()
        assert _others_may_compute() == apart
    plain = replace(node, exclusive=False)
    with computing(plain, lambda _: None), alone(plain, lambda _: None):
        assert _others_may_compute()
