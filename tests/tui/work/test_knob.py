"""A knob in hand: keys become questions, the newest wins, and whoever holds a key down sees points all the same."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.studies.knob import Answer, Baseline, Technique
from engine.studies.rundir import RunDir
from tests.tui.views.knob_answers import BASELINE, BITS, WEIGHTS, answer
from tui.work import knob
from tui.work.knob import Dial, Turning

NONE = Technique(
    "rank", "weights that lower ranks save", "%", 0.0, 0.95, 0.01, 0.0, why_not="No layer can be."
)


class Worker:
    """What a knob says to its worker and hears from it, without one."""

    def __init__(self) -> None:
        self.state, self.reason = "ready", ""
        self.techniques = (WEIGHTS, NONE, BITS)
        self.baseline: Baseline | None = BASELINE
        self.asked: list[tuple[str, float]] = []
        self.said: list[Answer] = []
        self.closed = False

    def ask(self, technique: str, value: float) -> int:
        self.asked.append((technique, value))
        return len(self.asked)

    def answers(self) -> list[Answer]:
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(knob.time, "monotonic", lambda: now[0])
    yield now


def held(worker: Worker, before: Turning | None = None) -> Turning:
    turning = Turning(RunDir(Path("/nowhere")), 0, before)
    turning._knob = worker  # type: ignore[assignment]
    turning._changed(worker)  # type: ignore[arg-type]
    return turning


def test_places_run_from_the_value_that_compresses_least() -> None:
    assert Dial(WEIGHTS).values[:3] == [0.0, 0.01, 0.02] and Dial(WEIGHTS).values[-1] == 0.99
    assert Dial(BITS).values == [8, 7, 6, 5, 4, 3, 2]
    assert (Dial(WEIGHTS).coarse, Dial(BITS).coarse) == (10, 2)


def test_a_key_asks_at_once_and_what_cannot_be_had_is_not_asked_for() -> None:
    worker = Worker()
    turning = held(worker)
    assert worker.asked == [("weights", 0.0)] and turning.pending
    worker.said = [answer(1, WEIGHTS, 0.0)]
    assert turning.poll() and not turning.pending
    turning.turn(1)
    turning.turn(-5)
    turning.turn_to(10_000)
    assert worker.asked[1:] == [("weights", 0.01), ("weights", 0.0), ("weights", 0.99)]
    turning.choose(1)
    turning.turn(1)
    assert turning.dial is not None and turning.dial.technique is NONE and not turning.pending
    turning.choose(1)
    assert worker.asked[4:] == [("bits", 8.0)]


def test_keys_pressed_before_there_is_a_worker_count_once_there_is() -> None:
    turning = Turning(RunDir(Path("/nowhere")), 0)
    turning.turn(2)
    turning.turn(1, lambda dial: dial.coarse)
    assert len(turning.early) == 2 and turning.dial is None
    worker = Worker()
    turning._knob = worker  # type: ignore[assignment]
    turning._changed(worker)  # type: ignore[arg-type]
    assert turning.dial is not None and turning.dial.value == 0.12
    assert worker.asked == [("weights", 0.02), ("weights", 0.12)]


def test_a_coarse_answer_does_not_take_the_place_of_a_finer_one_and_a_final_one_is_not_asked_again() -> None:
    worker = Worker()
    turning = held(worker)
    worker.said = [answer(1, WEIGHTS, 0.0, 0.94, 900), answer(1, WEIGHTS, 0.0, 0.90, 50)]
    turning.poll()
    assert turning.dial is not None and turning.dial.answer is not None
    assert turning.dial.answer.quality == 0.94
    worker.said = [answer(1, WEIGHTS, 0.0, 0.95, 2000)]
    turning.poll()
    turning.turn(1)
    turning.turn(-1)
    assert worker.asked == [("weights", 0.0), ("weights", 0.01)] and turning.dial.answer.final


def test_a_key_held_down_lets_a_question_through_now_and_then(clock: list[float]) -> None:
    worker = Worker()
    turning = held(worker)
    worker.said = [answer(1, WEIGHTS, 0.0)]
    turning.poll()
    still: list[float] = []
    for _ in range(
        60
    ):  # two seconds of a key that comes 30 times a second; each new question overtakes the last
        clock[0] += 1 / 30
        before = len(worker.asked)
        turning.turn(1)
        turning.poll()
        if len(worker.asked) == before:
            still.append(clock[0])
    assert turning.dial is not None and turning.dial.value == 0.6
    assert len(still) > 20 and max(still) > 101.5  # again and again one is left the time to be answered
    clock[0] += 1
    turning.poll()
    assert worker.asked[-1] == ("weights", 0.6)


def test_an_ended_worker_says_why_and_another_goes_on_where_it_was() -> None:
    worker = Worker()
    turning = held(worker)
    turning.choose(-1)
    turning.turn(3)
    worker.said = [answer(3, BITS, 5.0)]
    turning.poll()
    worker.state, worker.reason = "ended", "The knob's worker ended (exit code -9)."
    before = list(worker.asked)
    assert not turning.reason
    worker_states = turning.poll()  # the state was ended before it looked: nothing new is heard
    assert not worker_states
    turning._changed(worker)  # type: ignore[arg-type]
    assert turning.reason == worker.reason
    turning.turn(1)
    assert worker.asked == before
    other = Worker()
    again = held(other, turning)
    assert again.dial is not None and (again.dial.technique, again.dial.value) == (BITS, 4.0)
    assert again.dial.answers.keys() == {5.0} and other.asked == [("bits", 4.0)]


def test_a_worker_that_comes_after_the_page_was_left_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()

    async def left_while_it_starts() -> None:
        turning = Turning(RunDir(Path("/nowhere")), 0)
        started = asyncio.create_task(turning.start())
        await asyncio.sleep(0)
        await turning.close()
        await started

    monkeypatch.setattr(knob, "_started", lambda run, trial: worker)
    asyncio.run(left_while_it_starts())
    assert worker.closed
