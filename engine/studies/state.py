"""The state of a study: what replaying its events gives. Every view is drawn from this."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, assert_never

from engine.studies import events as ev
from engine.studies.merge import Merged
from engine.studies.parts import StepState as StepState
from engine.studies.parts import StepStatus
from engine.studies.parts import TaskState as TaskState
from engine.studies.parts import TrialState as TrialState
from engine.studies.rundir import RunDir
from engine.studies.status import Status, StudyStatus, counts, fraction

Standing = Literal[StepStatus, "scored", "unfinished", "not run"]

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a log that is damaged, or of another version, makes its replay and views of it raise."""


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
    """The time of the latest event, in seconds since 1970."""
    idle: bool = False
    """Whether that event was the last thing before it waited for its turn."""
    replay_of: str | None = None
    trials: list[TrialState] = field(default_factory=list)
    steps: dict[str, StepState] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    """Of a study on a cluster: every attempt of its tasks."""
    executor: str = "local"
    queue: str = ""
    """How its jobs stand in the queue, what it waits for, or why its engine may be gone, in words, while it is open."""
    waiting: dict[str, str] = field(default_factory=dict)
    """What steps wait for on their machine, and check-ups, by key."""
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
    most_trials: int = 0
    most_hours: float = 0.0
    """Of a search: what its budget lets it come to, see `engine.studies.events.Planned`."""
    expected: float = 0.0
    """Seconds that the whole was estimated to take when it was started; 0 where that is not known."""
    unreadable: int = 0
    """Lines that could not be understood."""
    heard: float = 0.0
    """When the engine of a lost study was last heard of, in seconds since 1970; 0 where that is not known."""
    lost: dict[str, str] | None = None
    """Why it was lost, as far as its traces tell, as an error's title, detail and remedy."""

    def standing(self, part: TrialState | StepState) -> Standing:
        """A trial's or step's status as people read it: nothing runs or waits in a study that is over or lost, and of
        a trial that is `scored` only the latency is missing."""
        if isinstance(part, TrialState) and part.scored and part.status == "waiting":
            return "scored"
        if self.status in ("queued", "running") or part.status in ("done", "failed"):
            return part.status
        return "unfinished" if part.begun else "not run"

    def apply(self, event: ev.Event) -> None:
        if not isinstance(event, ev.StudyStarted) and not self.idle:
            self.worked += max(0.0, event.time - self.heard_at)
        # What the store has of a training tells its epochs as they were then, which may be days ago.
        before, self.heard_at = self.heard_at, max(self.heard_at, event.time)
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
                self.waiting.pop(event.key, None)  # of a worker that was killed while it waited
            case ev.StepProgress():
                step = self._step(event.key)
                step.done, step.text, step.speed = event.done, event.text, event.speed or step.speed
            case ev.StepWaits():
                self._wait(event.key, event.text)
            case ev.EpochFinished():
                step = self._step(event.key)
                step.epochs.append(event)
                step.done, step.text = event.epoch / event.epochs, f"epoch {event.epoch}/{event.epochs}"
            case ev.StepFinished():
                self._finish_step(event)
            case ev.StepFailed():
                self.waiting.pop(event.key, None)
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
        self.waiting.clear()
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
                self.waiting.pop(step.key, None)

    def _wait(self, key: str, text: str) -> None:
        self.waiting.pop(key, None)
        if text:
            self.waiting[key] = text
        if step := self.steps.get(key):  # a check-up is none
            step.text = text and f"waits {text}"

    def _plan(self, event: ev.Planned) -> None:
        self.devices = event.devices
        self.most_trials, self.most_hours = event.most_trials, event.most_hours
        self.chosen = None
        # Rounds of a search stay as they were told: an engine that takes it up tells them again, one after the other.
        rounds = [self.proposed[number].trials for number in sorted(self.proposed)]
        self.trials = [self._planned(trial) for trials in (event.trials, *rounds) for trial in trials]
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
        """Its trials follow those of the rounds before it; a round that is told again takes its own place, and those
        after it go where it has become another one."""
        self.chosen = None
        same = event.round in self.proposed and self.proposed[event.round].trials == event.trials
        self.proposed[event.round] = event
        first = event.trials[0]["index"] if event.trials else len(self.trials)
        after = self.trials[first + len(event.trials) :] if same else []
        self.trials = [*self.trials[:first], *(self._planned(trial) for trial in event.trials), *after]

    def judge(self, status: Status) -> None:
        """Take over what events can't tell: that the engine is gone, or what it could not write any more."""
        self.status, self.queue, self.executor = status.state, status.standing, status.executor
        self.expected = status.expected
        self.heard, self.lost = status.updated if status.state == "lost" else 0.0, status.lost
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
    def waits(self) -> str:
        """What the study waits for on its machine while nothing of it is computed; empty while anything is."""
        running = (one.key for one in self.steps.values() if one.status == "running")
        if not self.waiting or any(key not in self.waiting for key in running):
            return ""
        return next(iter(self.waiting.values()))

    @property
    def done(self) -> int:
        """Trials whose models are trained and scored."""
        return sum(trial.scored for trial in self.trials)

    @property
    def untimed(self) -> int:
        """Of these, those whose latency is to be measured and is not yet."""
        return sum(trial.scored and trial.status != "done" for trial in self.trials)

    @property
    def counts(self) -> str:
        """How many trials are done, in words."""
        return counts(self.done, len(self.trials), self.untimed, self.most)

    @property
    def fraction(self) -> str:
        """The same in a few characters."""
        return fraction(self.done, len(self.trials), self.most)

    @property
    def most(self) -> int:
        """How many trials a search that goes on can come to; -1 where that is not known. 0: all are planned."""
        if self.chosen is not None:
            return 0
        if self.most_trials <= 0:
            return self.most_trials
        # Those that were confirmed before the budget was made larger stay, and the answer then is a finalist again.
        last = max(self.proposed, default=0)
        confirmed = [
            p.trials for number, p in self.proposed.items() if p.purpose == "confirm" and number < last
        ]
        again = max((len({t["proposal"]["seed"] for t in trials}) for trials in confirmed), default=0)
        return max(self.most_trials + sum(map(len, confirmed)) + again, len(self.trials))

    @property
    def failed(self) -> int:
        return sum(trial.status == "failed" for trial in self.trials)

    @property
    def progress(self) -> float:
        """From 0 to 1, over the distinct steps of all trials; of a search that goes on, over what its budget lets it
        come to."""
        if not self.most:
            return sum(s.done for s in self.steps.values()) / len(self.steps) if self.steps else 0.0
        of_trials = (self.done + self.failed) / self.most if self.most > 0 else 0.0
        of_hours = self.worked / (3600 * self.most_hours) if self.most_hours else 0.0
        return min(max(of_trials, of_hours), 1.0)

    def remaining_seconds(self) -> float | None:
        """An estimate from what is done of the same kind, else from what the whole was expected to take; None while
        nothing is known.

        What was reused, as of a study that goes on where it was, counts for kinds of which nothing was computed
        yet, once anything was: it may come from another machine.
        """
        found = self._left_of_search() if self.most else self._left_of_steps()
        return found if found is not None or not self.expected else self.expected * (1 - self.progress)

    def _left_of_search(self) -> float | None:
        """By its budget of time, and by what its trials so far took; None while neither is known."""
        left = [3600 * self.most_hours - self.worked] if self.most_hours else []
        tried = [trial for trial in self.trials if trial.proposal and trial.scored]
        if self.most > 0 and tried:
            own = {step.key: step.seconds or 0.0 for trial in tried for step in trial.chain}
            for step in self.trials[0].chain:
                own.pop(step.key, None)
            left.append(sum(own.values()) / len(tried) * (self.most - self.done - self.failed))
        return max(min(left), 0.0) if left else None

    def _left_of_steps(self) -> float | None:
        known: dict[str, list[float]] = {}
        stored: dict[str, list[float]] = {}
        for step in self.steps.values():
            if step.status == "done" and step.seconds is not None:
                (stored if step.reused else known).setdefault(step.address, []).append(step.seconds)
        known = stored | known if known else known
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
        self.state.judge(self.run.read_status())
        return self.state


def load(path: Path) -> StudyState:
    """The state of the study in folder `path`."""
    return Reader(RunDir(path)).read_all()
