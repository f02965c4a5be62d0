"""The parts of a study's state: its steps, the tasks on a cluster that do them, its trials."""

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.studies import events as ev

StepStatus = Literal["waiting", "running", "done", "failed"]


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

    @property
    def found(self) -> dict[str, Any]:
        """What it measured, and once it is done what was observed meanwhile, as the memory that it took."""
        return self.measures | (self.observations if self.status == "done" else {})


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
    def scored(self) -> bool:
        """Whether its model is trained and judged; its latency may be still to come."""
        return self.measure.status == "done" and self.status != "failed"

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
        out = {name: value for name, value in self.measure.found.items() if name != "version"}
        if self.latency and self.latency.status == "done":
            out["latency"] = self.latency.observations["rows"]
        return out
