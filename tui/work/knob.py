"""A knob in hand: which technique is turned to which value, and what has been answered so far."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import SecateurError
from engine.studies.knob import Answer, Baseline, Technique
from engine.studies.rundir import RunDir

if TYPE_CHECKING:
    from engine.runner.knob import Knob

COARSE = 10
"""Steps of a coarse turn; a third of all where these are few."""
PATIENCE_S = 0.25
"""For so long a question is left alone that was asked while keys came faster than answers."""
STARVED_S = 0.4
"""After so long without an answer one question is let through: who holds a key down sees points all the same."""


@dataclass
class Dial:
    """One technique as it is turned: places count from the value that compresses least."""

    technique: Technique
    place: int = 0
    answers: dict[float, Answer] = field(default_factory=dict)
    """The finest answer to each value, by the value."""

    @property
    def last(self) -> int:
        """The place of the value that compresses most."""
        return round((self.technique.most - self.technique.least) / self.technique.step)

    @property
    def coarse(self) -> int:
        return max(1, min(COARSE, self.last // 3))

    @property
    def downwards(self) -> bool:
        """Whether smaller values compress more, as with bits."""
        return self.technique.start > self.technique.least

    def value_at(self, place: int) -> float:
        one = self.technique
        value = one.most - place * one.step if self.downwards else one.least + place * one.step
        return min(max(round(value, 9), one.least), one.most)

    @property
    def value(self) -> float:
        return self.value_at(self.place)

    @property
    def values(self) -> list[float]:
        """All of them, the one that compresses least first."""
        return [self.value_at(place) for place in range(self.last + 1)]

    @property
    def answer(self) -> Answer | None:
        """What is known of the value now."""
        return self.answers.get(self.value)


class Turning:
    """The knob of one trial, from before its worker is started until it is given back. Nothing here waits for it."""

    def __init__(self, run: RunDir, trial: int, before: "Turning | None" = None) -> None:
        """`before` is a knob of the same trial, to go on where that was."""
        self.run, self.trial = run, trial
        self.began = time.monotonic()
        self.ready_after: float | None = None
        """Seconds that the worker took to start; None before it has."""
        self.dials: list[Dial] = []
        self.chosen: int = before.chosen if before else 0
        self.reason = ""
        """Why there is no worker; empty while there is one, or one is being started."""
        self.latest: Answer | None = None
        """What was answered last, of whatever value."""
        self.early: list[Callable[[], None]] = []
        """What was asked for by keys before there was anything to turn: it is done once there is."""
        self._before = {dial.technique: dial for dial in before.dials} if before else {}
        self._knob: Knob | None = None
        self.closed = False
        self._asked_at = 0.0
        self._answered_at = 0.0
        self._waiting = False
        """Whether the first answer to what was asked last is still to come."""
        self._held = False
        """Whether another question waits for that."""

    async def start(self) -> None:
        """Start the worker; one that is not wanted any more by then ends at once."""
        try:
            knob = await asyncio.to_thread(_started, self.run, self.trial)
        except SecateurError as error:
            self.reason = error.sentence
            return
        self._knob = knob
        if self.closed:
            await self.close()

    async def close(self) -> None:
        """Give the worker back."""
        self.closed = True
        if self._knob is not None:
            await asyncio.to_thread(self._knob.close)

    @property
    def baseline(self) -> Baseline | None:
        return self._knob.baseline if self._knob else None

    @property
    def dial(self) -> Dial | None:
        """The technique in hand; None before there is one."""
        return self.dials[self.chosen] if self.dials else None

    @property
    def pending(self) -> bool:
        """Whether the value now has no answer yet."""
        dial = self.dial
        return not self.reason and dial is not None and not dial.technique.why_not and dial.answer is None

    @property
    def seconds(self) -> float:
        """Since the worker was asked for."""
        return time.monotonic() - self.began

    @property
    def restless(self) -> bool:
        """Whether what there is to say changes by itself: it is being started, or an answer is awaited."""
        return not self.reason and not self.closed and (not self.dials or self.pending)

    @property
    def waited(self) -> float:
        """Seconds since the question was asked that has no answer yet; 0 where every one has."""
        return time.monotonic() - self._asked_at if self._waiting else 0.0

    # What the keys do

    def turn(self, by: int, unit: Callable[[Dial], int] = lambda dial: 1) -> None:
        """So many times the steps of `unit` towards more compression, or towards less."""
        if (dial := self.dial) is None:
            self.early.append(partial(self.turn, by, unit))
        else:
            self.turn_to(dial.place + by * unit(dial))

    def turn_to(self, place: int) -> None:
        """To a place, or the nearer end."""
        dial = self.dial
        if dial is not None and not dial.technique.why_not:
            dial.place = max(0, min(place, dial.last))
            self._ask()

    def choose(self, by: int) -> None:
        """Another technique."""
        if not self.dials:
            self.early.append(partial(self.choose, by))
        else:
            self.chosen = (self.chosen + by) % len(self.dials)
            self._ask()

    def _ask(self) -> None:
        """Ask at once, or once the question before has had its time, where keys come faster than answers."""
        now, dial = time.monotonic(), self.dial
        if self._knob is None or self.closed or self.reason or dial is None or dial.technique.why_not:
            return
        if dial.answer is not None and dial.answer.final:
            self._held = False
            return
        if not self._waiting:
            self._answered_at = now
        elif now - self._answered_at > STARVED_S and now - self._asked_at < PATIENCE_S:
            self._held = True
            return
        self._held, self._waiting, self._asked_at = False, True, now
        self._knob.ask(dial.technique.name, dial.value)

    # What comes back

    def poll(self) -> bool:
        """Take what has come; whether anything has."""
        knob = self._knob
        if knob is None or self.closed or self.reason:
            return False
        before = knob.state
        answers = knob.answers()
        for answer in answers:
            self._take(answer)
        if knob.state != before:
            self._changed(knob)
        if self._held and (not self._waiting or time.monotonic() - self._asked_at >= PATIENCE_S):
            self._ask()
        return bool(answers) or knob.state != before

    def _take(self, answer: Answer) -> None:
        dial = next((one for one in self.dials if one.technique.name == answer.technique), None)
        if dial is not None:
            known = dial.answers.get(answer.value)
            if known is None or _fineness(known) <= _fineness(
                answer
            ):  # the first to a value asked again is coarse
                dial.answers[answer.value] = answer
            self.latest, self._waiting, self._answered_at = answer, False, time.monotonic()

    def _changed(self, knob: "Knob") -> None:
        if knob.state == "ended":
            self.reason = knob.reason
        elif not self.dials:
            self.ready_after = self.seconds
            self.dials = [self._before.get(technique) or Dial(technique) for technique in knob.techniques]
            able = [place for place, one in enumerate(self.dials) if not one.technique.why_not]
            if self.chosen not in able:
                self.chosen = able[0] if able else 0
            for do in self.early or [self._ask]:
                do()


def _fineness(answer: Answer) -> tuple[bool, int]:
    return answer.final, answer.images


def _started(run: RunDir, trial: int) -> "Knob":
    """The worker, being started. In a thread: modules are loaded, settings read."""
    from engine.machine.environment import resolve_threads
    from engine.runner import knob

    settings = run.settings().of_trial(trial)
    return knob.Knob(run, trial, threads=resolve_threads(settings.threads, 1))


def preset(run: RunDir, trial: int, steps: Sequence[dict[str, Any]], about: str) -> tuple[str, str]:
    """Name and text of the preset that makes a knob's network. Raises SecateurError where there is none."""
    from engine.results import edited
    from engine.studies.state import load
    from tui.work.studies import readable

    with readable(run):
        found = next((one for one in load(run.path).trials if one.index == trial), None)
    if found is None:
        raise SecateurError(f"Study {run.name} has no trial {trial}")
    text = edited.followed(run, found, steps, about)
    return run.read_status().preset or run.name, text
