"""The state of a study: what replaying its events gives. Every view is drawn from this."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.merge import Merged
from engine.studies.rundir import RunDir
from engine.studies.status import Status, StudyStatus

StepStatus = Literal["waiting", "running", "done", "failed"]
Standing = Literal[StepStatus, "unfinished", "not run"]


MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a log that is damaged, or of another version, makes its replay and views of it raise."""


@dataclass
class StepState:
    """One step, measure or latency measurement, shared by every trial whose chain holds its key."""

    key: str
    kind: str
    address: str
    status: StepStatus = "waiting"
    reused: bool = False
    started: float | None = None
    seconds: float | None = None
    done: float = 0.0
    text: str = ""
    epochs: list[ev.EpochFinished] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    observations: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    error: dict[str, str] | None = None
    task: str = ""
    """Of a study on a cluster: the attempt of a task that did it last."""
    pid: int = 0
    """Of a running step on the engine's own machine: its worker's process; 0 where that is not known."""
    speed: float = 0.0
    """Training images a second, as last reported; 0 while that is not known."""

    @property
    def begun(self) -> bool:
        """Whether any of it was ever computed."""
        return self.status in ("running", "done") or self.started is not None


@dataclass
class TaskState:
    """One attempt of a task of a study on a cluster; `outcome` is empty while it works."""

    task: str
    name: str
    stage: str
    host: str
    started: float
    restart: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    ended: float | None = None
    used: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrialState:
    """One trial: its parameters and the steps it goes through, its measuring included."""

    index: int
    parameters: dict[str, Any]
    steps: list[StepState]
    measure: StepState
    latency: StepState | None
    baseline: str
    baseline_measure: StepState
    beside: list[StepState] = field(default_factory=list)
    """What its results are compared with beside the baseline: its teacher, its control; and a search's tables of its
    baseline, whose models nothing goes on from."""
    proposal: dict[str, Any] = field(default_factory=dict)
    """Of a search's trial, what it was proposed as: see `engine.studies.events.Proposed`."""

    @property
    def chain(self) -> list[StepState]:
        return [*self.steps, self.measure, *([self.latency] if self.latency else [])]

    @property
    def status(self) -> StepStatus:
        states = {step.status for step in self.chain}
        if "failed" in states | {step.status for step in (self.baseline_measure, *self.beside)}:
            return "failed"
        if states == {"done"}:
            return "done"
        return "running" if "running" in states else "waiting"

    @property
    def begun(self) -> bool:
        """Whether any step was ever computed that the trial does not share with its baseline."""
        keys = [step.key for step in self.steps]
        compressed = self.measure.key != self.baseline_measure.key
        first = keys.index(self.baseline) + 1 if compressed and self.baseline in keys else 0
        return any(step.begun for step in self.chain[first:])

    @property
    def error(self) -> dict[str, str] | None:
        every = (*self.chain, self.baseline_measure, *self.beside)
        return next((step.error for step in every if step.error), None)

    @property
    def progress(self) -> float:
        """From 0 to 1, every step counted alike."""
        return sum(step.done for step in self.chain) / len(self.chain)

    @property
    def results(self) -> dict[str, Any]:
        """Every measure of the finished trial; what is not measured yet is missing."""
        out = {name: value for name, value in self.measure.measures.items() if name != "version"}
        if self.measure.status == "done":
            out |= self.measure.observations
        if self.latency and self.latency.status == "done":
            out["latency"] = self.latency.observations["rows"]
        return out


@dataclass
class StudyState:
    """A study, as far as its events tell; `apply` takes one event, in order."""

    name: str = ""
    preset: str = ""
    host: str = ""
    status: StudyStatus = "queued"
    environment: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    finished: float | None = None
    worked: float = 0.0
    """Seconds in which an engine carried it, over all engines, as far as events tell; without waiting for its turn."""
    heard_at: float = 0.0
    """When the last event was written, in seconds since 1970."""
    idle: bool = False
    """Whether that event was the last thing before it waited for its turn."""
    replay_of: str | None = None
    trials: list[TrialState] = field(default_factory=list)
    steps: dict[str, StepState] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    """Of a study on a cluster: every attempt of its tasks."""
    executor: str = "local"
    queue: str = ""
    """How its jobs stand in the queue, or why its engine may be gone, in words, while it is open."""
    checked: ev.CheckedUp | None = None
    """What the check-up before the first step found; None until it has passed."""
    notices: list[ev.Notice] = field(default_factory=list)
    error: dict[str, str] | None = None
    signal: int = 0
    """The number of the signal that ended a cancelled study."""
    refused: bool = False
    """Whether nothing was begun, because the preset asks for what can't be."""
    verdict: ev.Verdict | None = None
    reached: ev.Reached | None = None
    """Of a search: what its techniques can reach."""
    proposed: dict[int, ev.Proposed] = field(default_factory=dict)
    """Of a search: its rounds so far. They stay as they are when another engine takes the study up."""
    chosen: ev.Chosen | None = None
    """Of a search that is through: its answer."""
    unreadable: int = 0
    """Lines that could not be understood."""
    heard: float = 0.0
    """When the engine of a lost study was last heard of, in seconds since 1970; 0 where that is not known."""
    why_lost: str = ""
    """Why it was lost, as far as its traces tell."""

    def standing(self, part: TrialState | StepState) -> Standing:
        """A trial's or step's status as people read it: nothing runs or waits in a study that is over or lost."""
        if self.status in ("queued", "running") or part.status in ("done", "failed"):
            return part.status
        return "unfinished" if part.begun else "not run"

    def apply(self, event: ev.Event) -> None:
        if not isinstance(event, ev.StudyStarted) and not self.idle:
            self.worked += max(0.0, event.time - self.heard_at)
        before, self.heard_at = self.heard_at, event.time
        self.idle = isinstance(event, ev.Notice) and event.idle
        match event:
            case ev.StudyStarted():
                self._start(event)
                for task in self.tasks.values():  # none runs any more: those that did not say so were lost
                    task.ended = task.ended or before
            case ev.Planned():
                self._plan(event)
            case ev.CheckedUp():
                self.checked = event
            case ev.Reached():
                self.reached = event
            case ev.Proposed():
                self._propose(event)
            case ev.Chosen():
                self.chosen = event
            case ev.StepStarted():
                step = self._step(event.key, event.kind)
                step.status, step.started, step.done, step.text = "running", event.time, 0.0, ""
                step.error, step.task, step.pid, step.speed = None, event.task, event.pid, 0.0
                step.epochs.clear()
            case ev.StepProgress():
                step = self._step(event.key)
                step.done, step.text, step.speed = event.done, event.text, event.speed or step.speed
            case ev.EpochFinished():
                step = self._step(event.key)
                step.epochs.append(event)
                step.done, step.text = event.epoch / event.epochs, f"epoch {event.epoch}/{event.epochs}"
            case ev.StepFinished():
                self._finish_step(event)
            case ev.StepFailed():
                step = self._step(event.key, event.kind)
                step.status, step.error = "failed", event.error
            case ev.TaskStarted():
                self._start_task(event)
            case ev.TaskEnded():
                self._end_task(event.task, event.outcome, event.time, event.used)
            case ev.Notice():
                self.notices.append(event)
            case ev.StudyFinished():
                self.status, self.finished, self.error = event.state, event.time, event.error
                self.signal = event.signal
                self.refused = event.refused
                self._stop_running()
            case ev.Verdict():
                self.verdict = event
            case _:
                assert_never(event)

    def _start(self, event: ev.StudyStarted) -> None:
        self.name, self.preset, self.host = event.study, event.preset, event.host
        self.environment, self.replay_of = event.environment, event.replay_of
        self.started = self.started or event.time
        self.status, self.finished, self.error, self.signal = "running", None, None, 0
        self.refused = False
        self._stop_running()
        for step in self.steps.values():
            step.epochs.clear()  # the engine tells them again, with each result or training that it takes up
            if step.status == "failed":
                step.status, step.error = "waiting", None

    def _start_task(self, event: ev.TaskStarted) -> None:
        self.status = "running" if self.status == "queued" else self.status
        self.environment = self.environment or event.environment
        for earlier in [t for t in self.tasks.values() if t.name == event.name and not t.outcome]:
            self._end_task(earlier.task, "requeued", event.time, {})
        self.tasks[event.task] = TaskState(
            event.task, event.name, event.stage, event.host, event.time, event.restart, event.given
        )

    def _end_task(self, task: str, outcome: str, when: float, used: dict[str, Any]) -> None:
        """The task is gone; what it had not finished waits for another."""
        if ended_task := self.tasks.get(task):
            ended_task.outcome, ended_task.ended, ended_task.used = outcome, when, used
            self._stop_running(task)

    def _stop_running(self, task: str | None = None) -> None:
        for step in self.steps.values():
            if step.status == "running" and task in (None, step.task):
                step.status, step.done, step.text = "waiting", 0.0, ""

    def _plan(self, event: ev.Planned) -> None:
        self.devices = event.devices
        self.chosen = None
        self.trials = [self._planned(trial) for trial in event.trials]
        planned = {
            step.key
            for trial in self.trials
            for step in (*trial.chain, trial.baseline_measure, *trial.beside)
        }
        self.steps = {key: step for key, step in self.steps.items() if key in planned}

    def _planned(self, trial: dict[str, Any]) -> TrialState:
        return TrialState(
            trial["index"],
            trial["parameters"],
            [self._step(s["key"], s["kind"], s["address"]) for s in trial["steps"]],
            self._step(trial["measure"], "measure"),
            self._step(trial["latency"], "latency") if trial["latency"] else None,
            trial["baseline"],
            self._step(trial["baseline_measure"], "measure"),
            [self._step(s["key"], s["kind"], s["address"]) for s in trial.get("beside", [])],
            trial.get("proposal", {}),
        )

    def _propose(self, event: ev.Proposed) -> None:
        """Its trials follow those of the rounds before it; a round that is told again takes its own place."""
        self.chosen = None
        self.proposed[event.round] = event
        first = event.trials[0]["index"] if event.trials else len(self.trials)
        self.trials = [*self.trials[:first], *(self._planned(trial) for trial in event.trials)]

    def judge(self, run: RunDir, status: Status) -> None:
        """Take over what events can't tell: that the engine is gone, or what it could not write any more."""
        self.status, self.queue, self.executor = status.state, status.standing, status.executor
        lost = status.state == "lost"
        self.heard, self.why_lost = (status.updated, rundir.why_lost(run, status)) if lost else (0.0, "")
        if status.state == "failed":
            self.error = self.error or status.error

    def _step(self, key: str, kind: str = "", address: str = "") -> StepState:
        step = self.steps.get(key)
        if step is None:
            step = self.steps[key] = StepState(key, kind, address or kind)
        return step

    def _finish_step(self, event: ev.StepFinished) -> None:
        step = self._step(event.key, event.kind)
        step.status, step.done, step.text = "done", 1.0, ""
        step.reused, step.seconds, step.content = event.reused, event.seconds, event.content
        step.measures, step.observations, step.error = event.measures, event.observations, None

    @property
    def done(self) -> int:
        return sum(trial.status == "done" for trial in self.trials)

    @property
    def failed(self) -> int:
        return sum(trial.status == "failed" for trial in self.trials)

    @property
    def progress(self) -> float:
        """From 0 to 1, over the distinct steps of all trials."""
        return sum(s.done for s in self.steps.values()) / len(self.steps) if self.steps else 0.0

    def remaining_seconds(self) -> float | None:
        """An estimate from the steps of the same kind that are done; None while nothing is known."""
        known: dict[str, list[float]] = {}
        for step in self.steps.values():
            if step.status == "done" and not step.reused and step.seconds is not None:
                known.setdefault(step.address, []).append(step.seconds)
        open_steps = [s for s in self.steps.values() if s.status in ("waiting", "running")]
        if not known or any(step.address not in known for step in open_steps):
            return None
        return sum(sum(known[s.address]) / len(known[s.address]) * (1 - s.done) for s in open_steps)


class Reader:
    """Follows one study's events."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.state = StudyState(name=run.name)
        self._merged = Merged(run)
        self.at_end = False
        """Whether the last look found nothing new."""

    def new(self) -> Iterator[ev.Event]:
        """Each new event, at most 256 KiB of each file, right after it was applied: `state` is what holds at it."""
        before = self._merged.signature()
        lines = self._merged.poll()
        if lines is None:  # something came late, or a file was replaced or became shorter
            self.state, self._merged = StudyState(name=self.run.name), Merged(self.run)
            lines = self._merged.poll() or []
        self.at_end = not lines and self._merged.signature() == before
        for one in lines:
            if one.event is None or not self._applied(one.event):
                self.state.unreadable += 1
            else:
                yield one.event

    def _applied(self, event: ev.Event) -> bool:
        """Apply an event; False for one whose values make no sense."""
        try:
            self.state.apply(event)
        except MALFORMED:
            return False
        return True

    def poll(self) -> list[ev.Event]:
        """Read and apply what is new; call again at once until `at_end`."""
        return list(self.new())

    def signature(self) -> tuple[object, ...]:
        """Differs from the one before when there is something new to read."""
        return self._merged.signature()

    def catch_up(self) -> StudyState:
        """Everything written so far, as the events tell it."""
        self.poll()
        while not self.at_end:
            self.poll()
        return self.state

    def read_all(self) -> StudyState:
        """Everything written so far, with the status of an engine that died shown as `lost`."""
        self.catch_up()
        self.state.judge(self.run, self.run.read_status())
        return self.state


def load(path: Path) -> StudyState:
    """The state of the study in folder `path`."""
    return Reader(RunDir(path)).read_all()
