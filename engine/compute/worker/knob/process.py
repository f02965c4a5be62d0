"""The process that holds a model and answers what is asked of it, until whoever asks is gone."""

import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.compute.worker.explain import explain
from engine.compute.worker.knob.bits import Bits
from engine.compute.worker.knob.channels import Channels
from engine.compute.worker.knob.dials import Dial, Setting, nearest
from engine.compute.worker.knob.held import Held, hold
from engine.compute.worker.knob.rank import Rank
from engine.compute.worker.knob.scoring import Paired, Scoring
from engine.compute.worker.knob.weights import Weights
from engine.compute.worker.setup import settle
from engine.errors import SecateurError
from engine.machine import lock
from engine.params.calibrate import Calibrate
from engine.studies.knob import LONGEST, Answer, Question, Technique
from engine.studies.rundir import RunDir
from engine.text.visible import guard_streams

DIALS = (Weights, Channels, Rank, Bits)
"""In the order in which they are offered."""
NICE = 5
"""What others compute goes first: whoever turns a knob looks at it, and a study may run for hours."""


class Overtaken(Exception):
    """Something else was asked: what is being worked out is not wanted any more."""


class Mailbox:
    """The other end of the knob: the newest question that has come, and where answers go.

    A thread reads, so that questions never wait for what is computed, and the process ends at once with whoever asks.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._changed = threading.Condition()
        self._question: tuple[Question, float] | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                text = self._end.recv(LONGEST)
            except OSError:
                text = b""
            if not text:
                os._exit(0)
            with self._changed:
                self._question = (Question(**json.loads(text)), time.monotonic())
                self._changed.notify()

    def take(self, timeout: float | None) -> tuple[Question, float] | None:
        """The newest question and when it came, which is then no longer there; None where none comes in time."""
        with self._changed:
            if self._question is None:
                self._changed.wait(timeout)
            question, self._question = self._question, None
            return question

    def check(self) -> None:
        """Raises Overtaken if something new was asked."""
        if self._question is not None:
            raise Overtaken

    def send(self, what: str, content: dict[str, Any]) -> None:
        self._end.send(json.dumps({"what": what} | content).encode())


@dataclass
class Worker:
    """A model with its dials; those that can't be had say why in their technique."""

    held: Held
    scoring: Scoring
    dials: dict[str, Dial]
    techniques: list[Technique]
    box: Mailbox

    def serve(self) -> None:
        """Answer until the process ends; what later questions need is worked out while nothing is asked."""
        waiting = list(self.dials.values())
        while True:
            taken = self.box.take(0 if waiting else None)
            try:
                if taken is None:
                    with self._turn():
                        waiting = [dial for dial in waiting[:1] if dial.prepare()] + waiting[1:]
                    continue
                for answer in self._answers(*taken):
                    self.box.send("answer", answer.as_dict())
            except Overtaken:
                pass

    def _answers(self, question: Question, came: float) -> Iterator[Answer]:
        dial = self.dials[question.technique]
        with self._turn():
            setting = dial.set(nearest(dial.technique, question.value))
        if not setting.steps:
            right = self.held.right
            known = Paired(len(right), 0.0, 0.0)
            yield self._answer(question, setting, known, len(right), came)
            return
        for found in self.scoring.found(setting.model, self._turn):
            yield self._answer(question, setting, found, self.scoring.images, came)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A piece of work: not while a latency is measured, and not once something else was asked."""
        self.box.check()
        with lock.shared(lambda *_: self.box.check()):
            yield

    def _answer(self, question: Question, setting: Setting, found: Paired, of: int, came: float) -> Answer:
        return Answer(
            number=question.number,
            technique=question.technique,
            value=setting.value,
            quality=self.scoring.known + found.difference,
            error=found.error,
            images=found.images,
            of=of,
            costs=setting.costs,
            levels=setting.levels,
            seconds=time.monotonic() - came,
            final=found.final,
            added=self._steps(setting),
        )

    def _steps(self, setting: Setting) -> list[dict[str, Any]]:
        """As a preset has them; of a kind that the trial has already, with an id."""
        steps = dict(setting.steps)
        if steps and self.scoring.calibrates:
            steps[Calibrate.kind] = self.scoring.calibrate.model_dump(include={"images", "batch"})
        return [
            {kind: ({"id": f"knob-{kind.replace('.', '-')}"} if kind in self.held.kinds else {}) | params}
            for kind, params in steps.items()
        ]


def _dials(held: Held) -> tuple[dict[str, Dial], list[Technique]]:
    dials: dict[str, Dial] = {}
    techniques: list[Technique] = []
    for make in DIALS:
        try:
            dial: Dial = make(held)
        except SecateurError as error:
            techniques.append(replace(make.technique, why_not=error.sentence))
        else:
            dials[dial.technique.name] = dial
            techniques.append(dial.technique)
    return dials, techniques


def main(folder: str, trial: str, threads: str, end: str) -> None:
    """Hold the model of a study's trial; `end` is the number of the socket to whoever asks."""
    guard_streams()
    os.nice(NICE)
    box = Mailbox(socket.socket(fileno=int(end)))
    try:
        settle(int(threads))
        with lock.shared():
            held = hold(RunDir(Path(folder)), int(trial))
            dials, techniques = _dials(held)
            scoring = Scoring(held.plain, held.right, held.context, 1)
        told = {"techniques": [asdict(one) for one in techniques], "baseline": held.baseline.as_dict()}
        box.send("ready", told)
        Worker(held, scoring, dials, techniques, box).serve()
    except Exception as error:  # noqa: BLE001 - the one broad except: whoever turns the knob is told why it ended
        traceback.print_exc()
        box.send("ended", {"error": explain(error, "the knob").as_dict()})
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
