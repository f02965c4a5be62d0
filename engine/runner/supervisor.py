"""The engine process of one study: plans it, hands jobs to the executor, writes its events and status.

Started by `engine.runner.launch` in a session of its own.
"""

import contextlib
import fcntl
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.machine import environment, private
from engine.machine.value import Machine
from engine.presets.spec import Spec, read_stored
from engine.runner import inputs, replay
from engine.runner.checkup import check_up
from engine.runner.executors import choose
from engine.runner.executors.base import JobEnded
from engine.runner.heartbeat import Heartbeat
from engine.store.files import read_json
from engine.store.keys import key
from engine.store.objects import StoredObject
from engine.studies import checkup
from engine.studies import events as ev
from engine.studies.job import request
from engine.studies.plan import Job, Plan, make
from engine.studies.rundir import EventLog, RunDir
from engine.studies.state import StudyState
from engine.text.visible import guard_streams

POLL_S = 0.5
"""Seconds between two looks at the stop request."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """Takes one study from its preset to its last event."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.asked = read_json(run.request) or {}
        self.spec: Spec = read_stored(run.preset, self.asked.get("name", run.name))
        self.store = run.store()
        self.state = StudyState(name=run.name)
        self.log = EventLog(run.events)
        self.heartbeat = Heartbeat(run, self.spec, self.asked.get("replay_of"))
        self.finished: set[str] = set()
        self.broken: set[str] = set()

    def emit(self, event: ev.Event) -> None:
        """Write one event and take it into the state; the status follows with the next heartbeat."""
        self.log.append(event)
        self.state.apply(event)
        match event:
            case ev.StepFinished():
                self.finished.add(event.key)
                self.heartbeat.note(self.state)
            case ev.StepFailed():
                self.broken.add(event.key)
                self.heartbeat.note(self.state)
            case _:
                pass

    def work(self) -> None:
        """Run the study to its end; every outcome but a bug of ours is an event."""
        self._begin()
        try:
            on = choose.machine(self.spec.settings)
            code = inputs.code_of(self.run, self.spec)
            for text in inputs.changes(self.run, code):
                self.emit(ev.Notice(level="warning", text=text))
            data = inputs.data_of(self.run, self.spec, self.asked.get("replay_of"))
            plan = make(self.spec, data, on, code)
            self.emit(ev.Planned(trials=[t.as_dict() for t in plan.trials], devices=devices(plan)))
            self._hand_over(plan)
            self._reuse(plan)
            outcome = self._carry_out(plan, on, checkup.jobs(plan, on, code))
            self._judge(outcome)
        except SecateurError as error:
            # What the preset asks for and can't be is a usage error, and nothing has begun: later on, it is a failure.
            refused = isinstance(error, UsageError) and self.state.checked is None
            self._end("failed", error.as_dict(), refused=refused)
            return
        self._end(outcome, None)

    def _begin(self) -> None:
        self.emit(
            ev.StudyStarted(
                study=self.run.name,
                preset=self.spec.name,
                host=environment.describe()["host"],
                pid=os.getpid(),
                environment=environment.describe(),
                resumed=self.run.read_status().heartbeat > 0,
                replay_of=self.asked.get("replay_of"),
            )
        )
        self.heartbeat.start(self.state)

    def _hand_over(self, plan: Plan) -> None:
        """A replay decides by the times that its original measured."""
        original = self.asked.get("replay_of")
        if original:
            replay.hand_over(self.run.beside(original), plan, self.store)

    def _judge(self, outcome: str) -> None:
        """A finished replay is compared with its original."""
        original = self.asked.get("replay_of")
        if original and outcome == "done":
            self.emit(replay.compare(self.run.beside(original), self.run, self.state))

    def _end(self, state: str, error: dict[str, str] | None, *, refused: bool = False) -> None:
        """The last event and the last status; where no event can be written, the status may still tell."""
        assert state in ("done", "failed", "cancelled")
        last = ev.StudyFinished(state=state, error=error, refused=refused)  # type: ignore[arg-type]
        try:
            self.emit(last)
            self.log.close()
        except SecateurError:
            self.state.apply(last)
            raise
        finally:
            self.heartbeat.finish(self.state)

    def _reuse(self, plan: Plan) -> None:
        """Report every result that is in the store already, and why others that are there can't be used."""
        self.store.sweep_temporary()
        for key_, node in plan.nodes.items():
            stored, trouble = self.store.review(key_, node.address)
            if trouble is not None:
                self.emit(ev.Notice(level="warning", text=trouble, key=key_))
            elif stored is not None:
                self._report_reused(stored)

    def _report_reused(self, stored: StoredObject) -> None:
        for event in ev.reused(stored.key, stored.kind, stored.measures, stored.observations, stored.content):
            self.emit(event)

    def _carry_out(self, plan: Plan, on: Machine, tried: Sequence[Job]) -> str:
        """Do the check-up `tried`, then hand out jobs until none is left; `done`, `failed` or `cancelled`."""
        settings = self.spec.settings
        workspace = str(self.run.workspace)
        executor = choose.executor(
            settings,
            on,
            lambda job, cpus: request(job, plan, workspace, self.store, cpus, str(self.run.code)),
            preload=preload(self.spec, plan),
        )
        waiting = [job for job in plan.jobs if not self._is_done(job)]
        running: dict[int, Job] = {}
        stopping = _StopRequest(self.run.stop)
        try:
            if not check_up(
                tried,
                executor,
                self.store,
                self.emit,
                needed=bool(waiting),
                stopping=stopping.__bool__,
                poll_s=POLL_S,
            ):
                return "cancelled"
            while waiting or running:
                if stopping:
                    return "cancelled"
                self._give_up(waiting)
                for job in _in_order(waiting, settings.executor.parallel):
                    if job.needs <= self.finished and executor.has_room(job):
                        executor.start(job)
                        waiting.remove(job)
                        running[job.number] = job
                for message in executor.wait(POLL_S):
                    if isinstance(message, JobEnded):
                        del running[message.job.number]
                        self._settle(message)
                    else:
                        self.emit(message)
        finally:
            executor.stop()
        return "failed" if self.broken else "done"

    def _is_done(self, job: Job) -> bool:
        return all(node.key in self.finished for node in job.nodes)

    def _give_up(self, waiting: list[Job]) -> None:
        """Take out jobs that need something which failed, and those that need them; their trials show why."""
        while hopeless := [job for job in waiting if self.broken & job.needs]:
            for job in hopeless:
                waiting.remove(job)
                self.broken |= {node.key for node in job.nodes if node.key not in self.finished}

    def _settle(self, ended: JobEnded) -> None:
        """After a worker's end: the steps it did not do have failed, the first of them for its reason."""
        undone = [node for node in ended.job.nodes if node.key not in self.finished]
        for node in undone:
            if node.key in self.broken:
                break
            if self.store.get(node.key) is not None:  # committed, but killed before it could say so
                stored = self.store.get(node.key)
                assert stored is not None
                self._report_reused(stored)
                continue
            problem = ended.problem or {
                "title": "The worker ended without a result",
                "detail": f"{node.address} was not done.",
                "remedy": "The engine's log has more. `secateur resume` tries again.",
            }
            self.emit(ev.StepFailed(key=node.key, kind=node.kind, error=problem))
            break
        self.broken |= {node.key for node in ended.job.nodes if node.key not in self.finished}


class _StopRequest:
    """True once a `stop` file lies in the study's folder or a signal asked for the end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signalled = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._signal)

    def _signal(self, *_: object) -> None:
        self._signalled = True

    def __bool__(self) -> bool:
        return self._signalled or self._file.exists()


def _in_order(jobs: list[Job], parallel: int) -> list[Job]:
    """One worker: trial by trial. Several: computing first, so that measuring alone does not idle them."""
    if parallel == 1:
        return sorted(jobs, key=lambda job: (job.trial, job.number))
    return sorted(jobs, key=lambda job: (job.exclusive, job.number))


def preload(spec: Spec, plan: Plan) -> list[str]:
    """Slow imports that this study's workers need: better once than in each of them."""
    exports = any(job.exclusive for job in plan.jobs)
    torchvision = any(trial.settings.model.name.startswith("torchvision/") for trial in spec.trials)
    clusters = any(step.kind.startswith("cluster.") for trial in spec.trials for step in trial.steps)
    return (
        ["engine.compute.worker.warm_export"] * exports
        + ["torchvision"] * torchvision
        + ["sklearn.cluster"] * clusters
    )


def devices(plan: Plan) -> dict[str, object]:
    return {"device": plan.device, "threads": plan.threads}


@contextlib.contextmanager
def only_engine(run: RunDir) -> Iterator[None]:
    """Hold the right to be this study's engine on this host; SecateurError if another process has it."""
    path = private.folder() / f"study-{key(str(run.path.resolve()))[:24]}"
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SecateurError(
                f"Study {run.name} has an engine already", "Only one can run it.", "Use `secateur watch`."
            ) from None
        yield


def main() -> int:
    """Entry of the engine process; what goes wrong ends up in the study's log."""
    guard_streams()
    run = RunDir(Path(sys.argv[1]))
    try:
        with only_engine(run), private.own_temporary():
            Supervisor(run).work()
    except SecateurError as error:
        traceback.print_exc()
        print(f"error: {error.sentence}", file=sys.stderr)
        return error.exit_code
    return 0
