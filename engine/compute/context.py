"""What a step is given beside the model and its parameters."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from engine.compute.data import Dataset
from engine.compute.layers.pieces import at_once
from engine.compute.models.layout import layout_of
from engine.compute.numerics.group import Group
from engine.compute.numerics.onednn import use_onednn_for
from engine.compute.stopping import Stopping
from engine.compute.tasks import Score
from engine.compute.tasks.evaluate import score
from engine.store.files import MEASUREMENTS, explained, read_mapping, write_json
from engine.studies import events as ev

Send = Callable[[ev.Event], None]
Tell = Callable[[float], None]
"""Is told what share (0 to 1) of some work is done."""
T = TypeVar("T")

PROGRESS_EVERY_S = 2.0
"""Seconds between two progress events of one step: enough for a bar, few enough for a log of days."""


@dataclass
class Context:
    """The data, the device, the seed, and the way to report, for the step at `position` of its trial.

    `partial` is a folder where a long step keeps its unfinished work; it may not exist yet. `scored` is the
    validation score of the model that the latest training left, while it is that model's still.
    """

    data: Dataset
    device: torch.device
    seed: int
    position: int
    key: str
    partial: Path
    send: Send
    scored: Score | None = None
    observations: dict[str, Any] = field(default_factory=dict)
    """Measures of its own that the step reports, as plain JSON values."""
    teacher: nn.Module | None = None
    """The model that a `distill` step learns from, in eval mode on the device."""
    templates: Path | None = None
    """Where graphs of networks are kept for the next network that is built alike, instead of exporting it too."""
    stopping: Stopping = field(default_factory=Stopping)
    """Whether the step is to end before it is done."""
    alone: Callable[[], AbstractContextManager[None]] = nullcontext
    """Has the machine for the step alone, where it computes beside others and a part of it is timed (`times_apart`)."""
    group: Group | None = None
    """The processes that train together, this one among them; None: it trains alone."""
    _reported: float = 0.0

    @property
    def leads(self) -> bool:
        """Whether this process scores, keeps and tells; others that train with it only compute."""
        return self.group is None or self.group.leads

    def progress(self, done: float, text: str, speed: float = 0.0) -> None:
        """Tell how far the step is, and how many images a second it trains, at most every two seconds."""
        now = time.monotonic()
        if now - self._reported >= PROGRESS_EVERY_S:
            self._reported = now
            self.send(ev.StepProgress(key=self.key, done=done, text=text, speed=speed))

    def part(self, number: int, of: int, name: str) -> Tell:
        """Tell that the step is at part `number`, from 0 on, of so many; what is returned tells what share of that part
        (0 to 1) is done."""

        def tell(share: float) -> None:
            self.progress((number + share) / of, f"{name} ({number + 1} of {of})")

        tell(0.0)
        return tell

    def measured(self, name: str, measure: Callable[[], T]) -> T:
        """What `measure` observes (times), which must be plain JSON: taken once, then the recorded value.

        An interrupted step goes on, and a replay decides, by the same values, though times never repeat. `name`
        tells the step's measurements apart. Raises SecateurError when the value cannot be written.
        """
        recorded = self.recorded()
        if name not in recorded:
            # Through JSON, so that the first time gives exactly what every later time does.
            recorded[name] = json.loads(json.dumps(measure()))
            with explained(self.partial):
                self.partial.mkdir(parents=True, exist_ok=True)
            write_json(self.partial / MEASUREMENTS, recorded)
        value: T = recorded[name]
        return value

    def recorded(self) -> dict[str, Any]:
        """The values of `measured` so far, by name."""
        return read_mapping(self.partial / MEASUREMENTS)

    def at_once(self, model: nn.Module, most: int, *, kept: bool = False) -> int:
        """How many of the data's images go through `model` together: see `engine.compute.layers.pieces`."""
        return at_once(model, (self.data.channels, *self.data.size), most, kept=kept)

    def notice(self, level: ev.Level, text: str) -> None:
        self.send(ev.Notice(level=level, text=text, key=self.key))


def untold(share: float) -> None:
    """A `Tell` for work that nobody follows."""


def within(tell: Tell, number: int, of: int) -> Tell:
    """Of work that `tell` follows: what follows its part `number`, from 0 on, of so many that take about as long."""
    return lambda share: tell((number + share) / of)


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` on `device`, in place, channels last if it can be: convolutions run about 4× faster so on a CPU."""
    if device.type == "cpu":
        use_onednn_for(model)
    return model.to(device=device, memory_format=layout_of(model))  # type: ignore[call-overload, no-any-return]


def validate(model: nn.Module, context: Context) -> Score:
    """The model's score on the validation split, on which choices are made."""
    return score(model, context.data, context.data.validation, context.device)
