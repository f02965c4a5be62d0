"""A task's share of a study's jobs: what other tasks do is left to them, what a job still needs is done with it."""

import time
from collections.abc import Iterable
from typing import Protocol

from engine.runner.executors.base import Executor, JobEnded, without_result
from engine.runner.stopping import wind_down
from engine.slurm.inside import Attempt
from engine.store.claims import Claims
from engine.store.files import explained, write_json
from engine.store.objects import Store, StoredObject
from engine.studies import events as ev
from engine.studies.plan import Job, Node
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState

POLL_S = 0.5
"""Seconds between two looks at the worker, the stop file and signals."""
WAIT_S = 2.0
"""Seconds between two looks at what another task computes."""
HELPS_FOR_S = 600.0
"""Age up to which a task takes on what is nobody's after its own share: longer jobs find their place in a queue less
easily, shorter ones cost the scheduler more than they compute."""


class Owner(Protocol):
    """The task that a share belongs to."""

    run: RunDir
    store: Store
    attempt: Attempt
    started: float
    peak_memory: int

    @property
    def stopping(self) -> bool:
        """Whether it is to end."""

    def emit(self, event: ev.Event) -> None:
        """Tell an event."""

    def notice(self, level: ev.Level, text: str) -> None:
        """Tell something once."""

    def report(self, stored: StoredObject) -> None:
        """Tell of a result that was in the store."""

    def state(self) -> StudyState:
        """The study as all its tasks have told it."""


class Share:
    """Does jobs one after the other, with what they need, unless another task does them."""

    def __init__(self, task: Owner, executor: Executor, claims: Claims, jobs: list[Job]) -> None:
        self._task, self._executor, self._claims = task, executor, claims
        self._store: Store = task.store
        self._makers = {node.key: job for job in jobs for node in job.nodes}
        self._met: dict[str, Node] = {}
        self._others = ""

    def do(self, jobs: Iterable[Job]) -> None:
        """Have all of them done, by us or by others."""
        left = list(jobs)
        while left and not self._task.stopping:
            before = len(left)
            left = [job for job in left if self._task.stopping or not self._try(job)]
            if left and len(left) == before and not self._task.stopping:
                self._task.notice("info", f"Waiting for {self._others}, which computes what is needed here")
                time.sleep(WAIT_S)

    def complete(self, jobs: Iterable[Job]) -> bool:
        """Have all of them done, and all of it told; False if asked to stop meanwhile."""
        self.do(jobs)
        self.tell_untold()
        return not self._task.stopping

    def help(self, jobs: Iterable[Job]) -> None:
        """Do jobs that no task has taken, while this task is young (`HELPS_FOR_S`)."""
        for job in jobs:
            if self._task.stopping or time.monotonic() - self._task.started > HELPS_FOR_S:
                return
            if not self._is_settled(job):
                self._try(job)

    def _try(self, job: Job) -> bool:
        """Do the job if it is free. Whether it is settled then; False while another task does it, or what it needs."""
        self._met.update((node.key, node) for node in job.nodes)
        if self._is_settled(job):
            return True
        for key in sorted(job.needs):
            maker = self._makers.get(key)
            if maker is not None and self._store.get(key) is None and not self._try(maker):
                return False
            if self._task.stopping:
                return False
        if self._hopeless(job):
            return True
        missing = [node.key for node in job.nodes if self._store.get(node.key) is None]
        if not all(self._claims.take(key) for key in missing):
            self._others = next(filter(None, map(self._claims.holder_of, missing)), "another task")
            self._claims.release(missing)
            return False
        try:
            return self._is_settled(job) or self._run(job)
        finally:
            self._claims.release(missing)

    def _is_settled(self, job: Job) -> bool:
        return self._hopeless(job) or all(self._store.get(node.key) is not None for node in job.nodes)

    def _hopeless(self, job: Job) -> bool:
        """Whether the job, or what it needs, has failed under the study."""
        keys = {*job.needs, *(node.key for node in job.nodes)}
        return any(self._task.run.failure(key).exists() and self._store.get(key) is None for key in keys)

    def _run(self, job: Job) -> bool:
        tries = 0
        self._executor.start(job)
        while True:
            for message in self._executor.wait(POLL_S):
                if isinstance(message, JobEnded):
                    if self._task.stopping:
                        return True
                    if retry := message.again(tries):
                        tries += 1
                        self._task.emit(ev.Notice(level="warning", text=retry.why, key=job.nodes[0].key))
                        self._executor.start(job)
                        continue
                    return self._judge(job, message)
                if isinstance(message, ev.StepFailed):
                    self._mark(message)
                self._task.emit(message)
            if self._task.stopping:
                wind_down(self._executor, {job.number: job}, self._task.emit)
                self._executor.stop()
                return False

    def _judge(self, job: Job, ended: JobEnded) -> bool:
        """After the worker's end: nodes without a result have failed, the first of them for the worker's reason."""
        for node in job.nodes:
            if self._store.get(node.key) is not None:
                continue
            if not self._task.run.failure(node.key).exists():
                problem = ended.problem or without_result(node, "task")
                failed = ev.StepFailed(key=node.key, kind=node.kind, error=self._with_memory(problem))
                self._mark(failed)
                self._task.emit(failed)
            break
        return True

    def _with_memory(self, problem: dict[str, str]) -> dict[str, str]:
        """The problem with what the task was given: Slurm ends what takes more memory than it asked for."""
        given = self._task.attempt.memory_mb
        if "memory" not in " ".join(problem.values()) or not given:
            return problem
        peak = self._task.peak_memory >> 20
        used = f"The task was given {given} MB of memory; its largest process had used {peak} MB."
        ask = (
            f"`secateur resume` goes on with more: add `--set executor.slurm.memory={max(2 * given, peak)}M`."
        )
        return problem | {"detail": f"{problem['detail']} {used}", "remedy": f"{ask} {problem['remedy']}"}

    def _mark(self, event: ev.StepFailed) -> None:
        path = self._task.run.failure(event.key)
        with explained(path):
            path.parent.mkdir(exist_ok=True)
        write_json(path, event.error)

    def tell_untold(self) -> None:
        """Report what we found in the store and nobody has told: who computed it was killed before it could."""
        state = self._task.state()
        for key in self._met:
            step = state.steps.get(key)
            stored = self._store.get(key) if step is None or step.status != "done" else None
            if stored is not None and not self._claims.holder_of(key):
                self._task.report(stored)
