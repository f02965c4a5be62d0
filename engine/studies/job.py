"""What the engine hands to a worker: one JSON text, so that a worker on any node can take it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.params import Step, step_of
from engine.params.distillation import own_teachers
from engine.params.preset import Settings
from engine.store.objects import Store
from engine.studies.plan import Job, Node, Plan
from engine.studies.rundir import RunDir

SERVER_GONE = 255
"""The exit code that multiprocessing gives a worker whose server was killed before it; a worker that needs the server
for processes of its own, and finds it gone, ends with it too."""
STOP = b"stop"
"""What an engine sends to a worker that is to keep what it has and end."""


@dataclass(frozen=True)
class JobRequest:
    """A job with all that its worker needs to know; nodes and steps as plain values."""

    workspace: str
    store: str
    private: str | None
    """Where the study keeps what it can't have of the store, because it is another user's."""
    device: str
    threads: int
    parallel: int
    """Workers that share this machine's memory."""
    fingerprint: str
    """Of the data, so that no worker has to read the files for it again."""
    settings: dict[str, Any]
    steps: dict[str, dict[str, Any]]
    """The step of every node that is one, by key: `kind` and its parameters."""
    nodes: list[dict[str, Any]]
    cpus: list[int] | None = None
    """Processors to stay on; None: wherever the system puts it."""
    code: str = ""
    """The file in which the study keeps the users' code, if it has any."""
    gpus: tuple[str, ...] = ()
    """What CUDA_VISIBLE_DEVICES is to be, for each process that trains together; empty: left as it is."""
    weights: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each file that networks are read from, as it was when their keys were made."""
    study: str = ""
    """The name of the study that it is done for, for others that wait for it."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "JobRequest":
        return JobRequest(**json.loads(text))

    def open_store(self) -> Store:
        return Store(Path(self.store), Path(self.private) if self.private else None)

    def read_settings(self) -> Settings:
        return Settings.model_validate(self.settings)

    def read_nodes(self) -> list[Node]:
        return [Node(**(node | {"needs": tuple(node["needs"])})) for node in self.nodes]

    def read_step(self, key: str) -> Step:
        return step_of(self.steps[key])

    def models_named(self) -> tuple[str, ...]:
        """What the trial's preset calls its models and teachers: of the user's own code, all that may build one."""
        steps = map(self.read_step, self.steps)
        teachers = (teacher.name for teacher in own_teachers(steps))
        return tuple(dict.fromkeys([self.read_settings().model.name, *teachers]))


def request(
    job: Job,
    plan: Plan,
    run: RunDir,
    store: Store,
    cpus: list[int] | None,
    *,
    parallel: int = 1,
) -> JobRequest:
    """The request for `job` of study `run`, with the settings and steps of the trial it is done for."""
    planned = plan.trials[job.trial]
    trial = planned.trial
    steps = {
        # Only what was given: some parameters may not be given together, even with their defaults.
        key: {"kind": step.kind, **step.model_dump(mode="json", exclude_unset=True)}
        for key, step in planned.parameters.items()
    }
    return JobRequest(
        str(run.workspace),
        str(store.root),
        str(store.private) if store.private else None,
        plan.device,
        plan.threads,
        parallel,
        planned.fingerprint,
        trial.settings.model_dump(mode="json"),
        steps,
        [asdict(node) for node in job.nodes],
        None if _beyond_trial(job, trial.settings) else cpus,
        str(run.code),
        weights=planned.weights,
        study=run.name,
    )


def _beyond_trial(job: Job, settings: Settings) -> bool:
    """Whether latency is measured on numbers of threads of its own: alone on the machine, it may use all of it."""
    latency = settings.measure.latency
    return job.exclusive and latency is not None and latency.threads is not None
