"""What happens in a study, one JSON line each in `events.jsonl`; state is what replaying them gives."""

import dataclasses
import inspect
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.store.objects import StoredObject
from engine.text.visible import json_text

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
    most_trials: int = 0
    """Of a search: how many it can come to, see `engine.params.search.Search.most`; 0: these are all."""
    most_hours: float = 0.0
    """Of a search: its budget of time; 0 where it has none."""


@dataclass(frozen=True, kw_only=True)
class CheckedUp(_Event):
    """Data and networks were tried, and can be what the preset makes of them: told before the first step.

    `data` and `networks` have an entry each: `name`, `text` (what it is, in a few words) and `notes` (sentences that
    a reader of the results should know).
    """

    data: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What it tells, a line each."""
        texts = []
        for one in (*self.data, *self.networks):
            texts.append(f"{one['name']}: {one['text']}")
            texts += [f"{one['name']}: {note}" for note in one["notes"]]
        return texts


@dataclass(frozen=True, kw_only=True)
class Reached(_Event):
    """What the techniques of a search can reach, told before anything is trained: see `engine.search.reach`.

    `rows`: of each technique, and of all together, the `steps` at their `least`, `middle` and `most`, with measures.
    `bounds`: the most of parameters whose ranges go further than the network allows: see `engine.search.bounds`.
    """

    rows: list[dict[str, Any]]
    lines: list[str] = field(default_factory=list)
    bounds: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Proposed(_Event):
    """A round of a search: trials that come after those which are planned already.

    Each is as in `Planned`, with `proposal`: its `candidate` (number), `rung`, `role` (`candidate`, `finalist` or
    `uncompressed`), `seed`, and the `point` of the space that it is at. `held`: techniques that were pinned (true) or
    forbidden (false) for it, while the search ran. `room`: trials that it had room for, by the budget as it then was;
    0 where nobody noted it.
    """

    round: int
    purpose: Literal["search", "confirm"]
    trials: list[dict[str, Any]]
    held: dict[str, bool] = field(default_factory=dict)
    room: int = 0

    @property
    def text(self) -> str:
        """What the round is, in words."""
        if self.purpose == "confirm":
            finalists = len({t["proposal"]["candidate"] for t in self.trials} - {None})
            seeds = len({t["proposal"]["seed"] for t in self.trials})
            noun = "finalist" if finalists == 1 else "finalists"
            return f"{finalists} {noun} and the uncompressed network on {seeds} seed{'s' * (seeds > 1)}"
        on = sum(t["proposal"]["rung"] > 0 for t in self.trials)
        parts = [f"{len(self.trials) - on} new"] if on < len(self.trials) else []
        return f"round {self.round}: {', '.join([*parts, *([f'{on} trained on'] if on else [])])}"


@dataclass(frozen=True, kw_only=True)
class Chosen(_Event):
    """A search's answer: see `engine.search.choice`. `trial` is its index.

    `lines` say why it won, and how sure that is; `finalists` and `uncompressed` have the numbers.
    """

    trial: int
    sure: bool
    candidates: int
    lines: list[str]
    finalists: list[dict[str, Any]] = field(default_factory=list)
    uncompressed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepStarted(_Event):
    """A worker began the step `key`."""

    key: str
    kind: str
    pid: int = 0
    task: str = ""
    """The attempt of a task that does it, where tasks are jobs of a cluster."""


@dataclass(frozen=True, kw_only=True)
class StepProgress(_Event):
    """How far a running step is: `done` from 0 to 1, and a few words."""

    key: str
    done: float
    text: str = ""
    speed: float = 0.0
    """Training images a second; 0 where it does not train, or that is not known."""


@dataclass(frozen=True, kw_only=True)
class StepWaits(_Event):
    """What a step, or a check-up before the first, waits for on its machine (`for quickstart-3 to measure latency`);
    an empty text: it goes on."""

    key: str
    text: str


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
        number = self.measures.get(name, getattr(self, name, None))
        return number if isinstance(number, int | float) else None


@dataclass(frozen=True, kw_only=True)
class StepFinished(_Event):
    """The result of `key` is in the store; `reused` if it had been there before."""

    key: str
    kind: str
    reused: bool
    seconds: float
    measures: dict[str, Any]
    observations: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    """Of the stored object (`StoredObject.content`): what leaves has to be what was measured. Empty in logs of versions
    that did not record it."""


@dataclass(frozen=True, kw_only=True)
class StepFailed(_Event):
    """The step `key` ended in an error; every trial that needs it fails with it."""

    key: str
    kind: str
    error: dict[str, str]
    """`title`, `detail`, `remedy`."""
    refused: bool = False
    """Whether the preset is at fault, so that it would end the same way again."""


@dataclass(frozen=True, kw_only=True)
class TaskStarted(_Event):
    """A job of a cluster began to work on the study; `task` is told apart from its earlier and later attempts."""

    task: str
    name: str
    """As the scheduler calls it."""
    stage: str
    host: str
    restart: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    """What it was given: `cpus`, `memory_mb`, `partition`, `ends`."""
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskEnded(_Event):
    """A task is through, or gives up its node; its file has no line after this."""

    task: str
    outcome: Literal["done", "stopped", "requeued", "other node", "failed"]
    used: dict[str, Any] = field(default_factory=dict)
    """`seconds`, `cpu_seconds`, `peak_memory` (bytes, of the largest process)."""


@dataclass(frozen=True, kw_only=True)
class Notice(_Event):
    """Something worth telling that changes no state."""

    level: Level
    text: str
    key: str | None = None
    idle: bool = False
    """Whether nothing is computed until the next event, because the study waits for its turn."""


@dataclass(frozen=True, kw_only=True)
class StudyFinished(_Event):
    """The engine is through with the study."""

    state: Literal["done", "failed", "cancelled"]
    error: dict[str, str] | None = None
    """Why, as `title`, `detail`, `remedy`; None where it was done, or cancelled as a user asked."""
    signal: int = 0
    """The number of the signal that it was cancelled by."""
    refused: bool = False
    """Whether nothing was begun, because the preset asks for what can't be."""


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
    | CheckedUp
    | Reached
    | Proposed
    | Chosen
    | StepStarted
    | StepProgress
    | StepWaits
    | EpochFinished
    | StepFinished
    | StepFailed
    | TaskStarted
    | TaskEnded
    | Notice
    | StudyFinished
    | Verdict
)

_CLASSES: dict[str, type[Event]] = {
    "study-started": StudyStarted,
    "planned": Planned,
    "checked-up": CheckedUp,
    "reached": Reached,
    "proposed": Proposed,
    "chosen": Chosen,
    "step-started": StepStarted,
    "step-progress": StepProgress,
    "step-waits": StepWaits,
    "epoch-finished": EpochFinished,
    "step-finished": StepFinished,
    "step-failed": StepFailed,
    "task-started": TaskStarted,
    "task-ended": TaskEnded,
    "notice": Notice,
    "study-finished": StudyFinished,
    "verdict": Verdict,
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}


def described() -> list[dict[str, Any]]:
    """Every kind of event with its fields, as plain values, for programs that read a study's `events.jsonl`."""
    return [
        {
            "event": name,
            "about": inspect.cleandoc(cls.__doc__ or ""),
            "fields": [
                {
                    "name": f.name,
                    "type": f.type if isinstance(f.type, str) else inspect.formatannotation(f.type),
                    "required": f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
                }
                for f in dataclasses.fields(cls)
            ],
        }
        for name, cls in _CLASSES.items()
    ]


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
    if not isinstance(values.get("time", 0.0), int | float):
        return None  # logs of several writers are merged by it
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


def reused(stored: StoredObject) -> Iterator[Event]:
    """What tells a result that was in the store already: its epochs, then its end."""
    others = dict(stored.observations)
    seconds = others.pop("seconds", 0.0)
    for epoch in others.pop("epochs", []):
        event = from_dict(epoch)
        if event is not None:
            yield event
    yield StepFinished(
        key=stored.key,
        kind=stored.kind,
        reused=True,
        seconds=seconds,
        measures=stored.measures,
        observations=others,
        content=stored.content,
    )


def to_line(event: Event) -> bytes:
    return (json_text(as_dict(event)) + "\n").encode()


def parse_line(line: bytes) -> Event | None:
    """The event in one line; None for a torn or foreign line."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return from_dict(data) if isinstance(data, dict) else None
