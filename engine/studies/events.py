"""What happens in a study, one JSON line each in `events.jsonl`; state is what replaying them gives."""

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class _Event:
    time: float = field(default_factory=time.time)
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class StudyStarted(_Event):
    """An engine process took the study up, for the first time or again."""

    study: str
    preset: str
    host: str
    pid: int
    environment: dict[str, Any]
    resumed: bool = False
    replay_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Planned(_Event):
    """The trials and the keys of their steps.

    Each trial: `index`, `parameters`, `steps` (list of `key`, `kind`, `address`), `measure` (key),
    `latency` (key or None), `baseline` (key of the baseline's last step), `baseline_measure` (key);
    `beside` (like `steps`): results that the trial's are compared with, its teacher's and its control's.
    """

    trials: list[dict[str, Any]]
    devices: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepStarted(_Event):
    """A worker began the step `key`."""

    key: str
    kind: str
    pid: int = 0


@dataclass(frozen=True, kw_only=True)
class StepProgress(_Event):
    """How far a running step is: `done` from 0 to 1, and a few words."""

    key: str
    done: float
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class EpochFinished(_Event):
    """One epoch of training; accuracies and average precisions are from 0 to 1, on the validation split.

    `measures` are those of the data's task by name: `validation_accuracy` of a classifier, of a detector both mAP.
    """

    key: str
    epoch: int
    epochs: int
    loss: float
    validation_loss: float
    measures: dict[str, float] = field(default_factory=dict)
    learning_rate: float
    seconds: float

    def value(self, name: str) -> float | None:
        """A measure of the epoch by name, `loss` and `learning_rate` too; None where the task has no such one."""
        found = self.measures.get(name, getattr(self, name, None))
        return found if isinstance(found, int | float) else None


@dataclass(frozen=True, kw_only=True)
class StepFinished(_Event):
    """The result of `key` is in the store; `reused` if it had been there before."""

    key: str
    kind: str
    reused: bool
    seconds: float
    measures: dict[str, Any]
    observations: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepFailed(_Event):
    """The step `key` ended in an error; every trial that needs it fails with it."""

    key: str
    kind: str
    error: dict[str, str]
    """`title`, `detail`, `remedy`."""


@dataclass(frozen=True, kw_only=True)
class Notice(_Event):
    """Something worth telling that changes no state."""

    level: Level
    text: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyFinished(_Event):
    """The engine is through with the study."""

    state: Literal["done", "failed", "cancelled"]
    error: dict[str, str] | None = None
    """Why, as `title`, `detail`, `remedy`; None where it was done, or cancelled as a user asked."""
    signal: int = 0
    """The number of the signal that it was cancelled by."""


@dataclass(frozen=True, kw_only=True)
class Verdict(_Event):
    """A replay's comparison with its original: see `engine.runner.replay`.

    `recorded`: steps that decide by measured times, for which the replay used those of the original.
    """

    identical: bool
    compared: int
    differences: list[dict[str, Any]]
    environment: list[dict[str, Any]]
    recorded: int = 0


Event = (
    StudyStarted
    | Planned
    | StepStarted
    | StepProgress
    | EpochFinished
    | StepFinished
    | StepFailed
    | Notice
    | StudyFinished
    | Verdict
)

_CLASSES: dict[str, type[Event]] = {
    "study-started": StudyStarted,
    "planned": Planned,
    "step-started": StepStarted,
    "step-progress": StepProgress,
    "epoch-finished": EpochFinished,
    "step-finished": StepFinished,
    "step-failed": StepFailed,
    "notice": Notice,
    "study-finished": StudyFinished,
    "verdict": Verdict,
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}


def as_dict(event: Event) -> dict[str, Any]:
    """Plain values, with the event's name under `event`."""
    values = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    return {"event": _NAMES[type(event)], **values}


def from_dict(data: dict[str, Any]) -> Event | None:
    """The event in `data`; None if it is of a kind or shape that this version does not know."""
    values = dict(data)
    cls = _CLASSES.get(values.pop("event", ""))
    if cls is None:
        return None
    if cls is EpochFinished and "measures" not in values:
        values = _flat_epoch(values)
    try:
        return cls(**values)
    except TypeError:
        return None


def _flat_epoch(values: dict[str, Any]) -> dict[str, Any]:
    """An epoch as logs of version 0.1.0 have it: its measures beside the other values, None where there is none."""
    own = {f.name for f in dataclasses.fields(EpochFinished)}
    measures = {name: value for name, value in values.items() if name not in own and value is not None}
    return {name: value for name, value in values.items() if name in own} | {"measures": measures}


def to_line(event: Event) -> bytes:
    return (json.dumps(as_dict(event), ensure_ascii=False) + "\n").encode()


def parse_line(line: bytes) -> Event | None:
    """The event in one line; None for a torn or foreign line."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return from_dict(data) if isinstance(data, dict) else None
