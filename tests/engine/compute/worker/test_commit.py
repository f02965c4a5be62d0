"""What jobs do around a node."""

import threading
from dataclasses import replace

import pytest

from engine.compute.worker.commit import TOLD_AFTER_S, alone, beside_others, computing, measuring
from engine.machine import lock
from engine.studies import events as ev
from engine.studies.job import JobRequest
from engine.studies.plan import Node

NODE = Node("k", "sensitivity", "sensitivity", {}, None, 0, exclusive=True)
REQUEST = JobRequest("", "", None, "cpu", 1, 1, "", {}, {}, [], study="quickstart-3")


def test_who_measures_latency_is_told_to_what_waits_for_it_and_that_the_wait_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "REPORT_S", 0.05)
    told: list[str] = []
    waits, waited = threading.Event(), threading.Event()

    def tell(event: ev.Event) -> None:
        assert isinstance(event, ev.StepWaits) and event.key == "k"
        told.append(event.text)
        waits.set()

    def wait() -> None:
        with beside_others(NODE, tell):
            waited.set()

    with measuring(NODE, REQUEST, told.append):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(10 * TOLD_AFTER_S)
    thread.join(10)
    assert waited.is_set() and told == ["for quickstart-3 to measure latency", ""]


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
    node = replace(NODE, kind=kind)
    with computing(node, REQUEST, lambda _: None):
        assert _others_may_compute() == apart
        with alone(node, REQUEST, lambda _: None):
            assert not _others_may_compute()
        assert _others_may_compute() == apart
    plain = replace(node, exclusive=False)
    with computing(plain, REQUEST, lambda _: None), alone(plain, REQUEST, lambda _: None):
        assert _others_may_compute()
