"""What a worker sends arrives whole, whichever of its threads sends it."""

import json
import threading
from multiprocessing import Pipe

from engine.compute.worker import process
from engine.studies import events as ev

TIMES = 40


def test_what_a_thread_tells_does_not_get_into_a_long_message_of_another() -> None:
    ours, theirs = Pipe()

    def send(letters: int) -> None:
        for _ in range(TIMES):
            process._send(theirs, ev.Notice(level="warning", text="x" * letters))

    sizes = (400_000, 10, 10)
    for letters in sizes:
        threading.Thread(target=send, args=(letters,), daemon=True).start()
    arrived = []
    for _ in range(TIMES * len(sizes)):
        assert ours.poll(10)
        arrived.append(len(json.loads(ours.recv_bytes())["text"]))
    assert sorted(arrived) == sorted(sizes * TIMES)
