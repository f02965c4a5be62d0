"""The engine process of one study: plans it, hands jobs to the executor, writes its events and status.

Started by `engine.runner.launch` in a session of its own.
"""

import collections
import contextlib
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from engine.errors import SecateurError, UsageError, exit_code_of
from engine.machine import environment, gpus, private
from engine.machine.value import Machine
from engine.presets.spec import Spec
from engine.runner import inputs, pinned, replay, rounds, searching
from engine.runner.checkup import check_up
from engine.runner.executors import choose
from engine.runner.executors.base import Executor, JobEnded, without_result
from engine.runner.heartbeat import Heartbeat
from engine.runner.status import plan_event
from engine.runner.stopping import Stop, StopRequest, wind_down
from engine.sources import Sources
from engine.store.objects import StoredObject
from engine.studies import checkup, turns
from engine.studies import events as ev
from engine.studies.job import JobRequest, request
from engine.studies.lease import Lease, Superseded, claim
from engine.studies.log import EventLog
from engine.studies.plan import Job, Plan, make
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, load
from engine.text.visible import guard_streams

POLL_S = 0.5
"""Seconds between two looks at the stop request."""
WORDS_EVERY = 20
"""Looks at the studies before it between two at all studies, which tell how long those before still take: that reads
their events."""


class Supervisor:
    """Takes one study from its preset to its last event."""

    def __init__(
        self, run: RunDir, lease: Lease, stop: StopRequest, every: float, *, here: bool = False
    ) -> None:
        self.run = run
        self.lease = lease
        self.stop = stop
        self.here = here
        self.asked = run.asked()
        self.spec: Spec = run.spec()
        self.kept = pinned.read(run)
        self.store = run.store()
        self.state = StudyState(name=run.name)
        self.log = EventLog(run.events, lease)
        self.heartbeat = Heartbeat(run, self.spec, lease, every, self.asked.get("replay_of"))
        self.finished: set[str] = set()
        self.broken: set[str] = set()
        self.plan: Plan | None = None
        self.parallel = self.spec.settings.executor.parallel
        self.tries: collections.Counter[int] = collections.Counter()

    def emit(self, event: ev.Event) -> None:
        """Write one event and take it into the state; the status follows with the next heartbeat.

        It follows at once where a step has ended. Of results that were in the store, whoever tells them has it follow.
        """
        self.log.append(event)
        waited = self.state.waits
        self.state.apply(event)
        if self.state.waits != waited:
            self.heartbeat.waits(self.state.waits)
        if isinstance(event, ev.StepFailed):
            self.broken.add(event.key)
            self.heartbeat.note(self.state)
        elif isinstance(event, ev.StepFinished):
            self.finished.add(event.key)
            if not event.reused:
                self.heartbeat.note(self.state)

    def work(self) -> None:
        """Run the study to its end. Every outcome is an event, except a bug of ours and a lost lease."""
        self._begin()
        try:
            self.stop.check()
            on = self._machine()
            code = inputs.code_of(self.run, self.spec)
            for text in inputs.changes(self.run, code):
                self.emit(ev.Notice(level="warning", text=text))
            data = self._data()
            begun = load(self.run.path) if self.spec.space is not None else None
            plan = self.plan = make(self.spec, data, on, code)
            self.emit(plan_event(self.spec, plan))
            self.hand_over(plan)
            self.reuse(plan)
            outcome = self._carry_out(plan, on, code, begun)
            self._judge(outcome)
        except Superseded:
            raise
        except SecateurError as error:
            # What the preset asks for and can't be is a usage error, and nothing has begun: later on, it is a failure.
            refused = isinstance(error, UsageError) and self.state.checked is None
            self._end("failed", error.as_dict(), refused=refused)
        except Stop:
            self._end("cancelled", self.stop.reason)
        else:
            self._end(outcome, None)

    def _begin(self) -> None:
        resumed = self.run.stored_status().heartbeat > 0
        self.heartbeat.start(self.state)
        self.emit(
            ev.StudyStarted(
                study=self.run.name,
                preset=self.spec.name,
                host=environment.describe()["host"],
                pid=os.getpid(),
                environment=environment.describe(),
                resumed=resumed,
                replay_of=self.asked.get("replay_of"),
            )
        )

    def _machine(self) -> Machine:
        """The machine to plan for; a study keeps to the one of its first plan."""
        settings = self.spec.settings
        gpus.check(settings.device, settings.distributed.processes)
        for level, text in gpus.notes(
            settings.device, settings.executor.parallel, settings.distributed.processes
        ):
            self.emit(ev.Notice(level=level, text=text))
        on = pinned.machine(self.spec.settings, self.kept)
        self.parallel, fewer = pinned.parallel(self.spec.settings, self.kept, on)
        if told := fewer or pinned.crowded(self.spec.settings, on, self.parallel):
            self.emit(ev.Notice(level="info", text=told))
        different = pinned.differences(self.kept, on, self.spec) if self.kept else []
        if different:
            if not self.here:
                pinned.check(self.run, self.spec, self.kept)
            on, self.kept = pinned.machine(self.spec.settings, None), None
            self.emit(
                ev.Notice(level="warning", text=f"It goes on here with other bits. {'; '.join(different)}")
            )
        pinned.keep(self.run, self.kept or pinned.Pinned.of(on), self.lease.folder)
        return on

    def _data(self) -> dict[str, str]:
        """The data's fingerprints. Raises Stop when the study is to stop, though reading may hang."""
        self.heartbeat.waits("for the data to be read")
        try:
            return self.stop.leave(
                lambda: inputs.data_of(self.run, self.spec, self.asked.get("replay_of")), inputs.give_up
            )
        finally:
            self.heartbeat.waits("")

    def hand_over(self, plan: Plan) -> None:
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
        signal = self.stop.signal if state == "cancelled" else 0
        last = ev.StudyFinished(state=state, error=error, refused=refused, signal=signal)  # type: ignore[arg-type]
        try:
            self.emit(last)
            self.log.close()
        except Superseded:
            raise
        except SecateurError:
            self.state.apply(last)
            raise
        finally:
            self.heartbeat.finish(self.state)

    def reuse(self, plan: Plan) -> None:
        """Report every result that is in the store already, and why others that are there can't be used."""
        self.store.sweep_temporary()
        for key_, node in plan.nodes.items():
            if key_ in self.finished:  # told before, of an earlier round of a search
                continue
            self.stop.check()
            stored, trouble = self.stop.leave(functools.partial(self.store.review, key_, node.address))
            if trouble is not None:
                self.emit(ev.Notice(level="warning", text=trouble, key=key_))
            elif stored is not None:
                self._report_reused(stored)
        self.heartbeat.note(self.state)  # once for all: one for each of thousands takes seconds

    def _report_reused(self, stored: StoredObject) -> None:
        for event in ev.reused(stored):
            self.emit(event)

    def _carry_out(self, plan: Plan, on: Machine, code: Sources, begun: StudyState | None) -> str:
        """Do the check-up, then hand out jobs until none is left; `done`, `failed` or `cancelled`.

        Of a search, which was `begun` so far before, then round after round.
        """
        executor = choose.executor(
            self.spec.settings, self.parallel, on, self._request, preload=preload(self.spec, plan)
        )
        unfinished = begun is not None or not all(map(self._is_done, plan.jobs))
        try:
            tried = (
                checkup.jobs(plan, on, code)
                if begun is None
                else rounds.tried(
                    self.spec, plan, on, code, begun=bool(begun.proposed or self.asked.get("replay_of"))
                )
            )
            if not check_up(
                tried,
                executor,
                self.store,
                self.emit,
                needed=unfinished,
                stopping=self.stop.__bool__,
                poll_s=POLL_S,
                before=lambda: rounds.tell_reach(self.spec, self.run, on, tried, self.emit),
            ):
                raise Stop
            if unfinished and self._wait_for_turn():
                self.reuse(plan)
            self.work_off(executor, plan.jobs)
            if begun is not None and not self.broken:
                planner = rounds.Rounds.of(self.run, self.spec, on, code)
                searching.Searching(self, executor, planner, begun).carry_out()
                return "done"
        finally:
            executor.stop()
        return "failed" if self.broken else "done"

    def _wait_for_turn(self) -> bool:
        """Wait until the studies before this one are over, if it is to; whether there were any.

        Nothing was computed before but the check-up: what is wrong with a preset is told at once.
        """
        waited, look = False, 0
        before: list[turns.Ahead] = []
        while before := turns.ahead(self.run, before if look % WORDS_EVERY else ()):
            self.stop.check()
            self.lease.check()
            if look % WORDS_EVERY == 0:
                what = turns.in_words(before)
                self.heartbeat.queued(what)
                if not waited:
                    self.emit(ev.Notice(level="info", text=f"It waits {what}", idle=True))
            waited, look = True, look + 1
            time.sleep(POLL_S)
        if turns.waits(self.run):
            turns.begin(self.run, within=self.lease.folder)
        if waited:
            self.heartbeat.queued("")
            self.emit(ev.Notice(level="info", text="Its turn has come"))
        return waited

    def _request(self, job: Job, cpus: list[int] | None) -> JobRequest:
        assert self.plan is not None
        return request(job, self.plan, self.run, self.store, cpus, parallel=self.parallel)

    def work_off(self, executor: Executor, jobs: Sequence[Job]) -> None:
        """Hand out these jobs until each is done, has failed, or waits for what has. Raises Stop when asked to."""
        waiting = [job for job in jobs if not self._is_done(job)]
        running: dict[int, Job] = {}
        self.tries.clear()
        while waiting or running:
            if self.stop:
                wind_down(executor, running, self.emit, self._tell_wait)
                raise Stop
            self.lease.check()
            self._give_up(waiting)
            for job in _in_order(waiting, self.parallel):
                if job.needs <= self.finished and executor.has_room(job):
                    executor.start(job)
                    waiting.remove(job)
                    running[job.number] = job
            for message in executor.wait(POLL_S):
                if not isinstance(message, JobEnded):
                    self.emit(message)
                    continue
                job = running.pop(message.job.number)
                # Whatever asks us to stop may have ended the worker too.
                stopped = self.stop and message.problem is not None
                if stopped or self._again(message):
                    waiting.append(job)
                else:
                    self._settle(message)

    def _tell_wait(self) -> None:
        steps = [step.address for step in self.state.steps.values() if step.status == "running"]
        self.heartbeat.waits(f"until {', '.join(steps) or 'a worker'} has kept what it has")

    def _again(self, ended: JobEnded) -> bool:
        """Whether to start a job again, because its worker's end was likely not the job's fault (`Retry`)."""
        undone = [node for node in ended.job.nodes if self.store.get(node.key) is None]
        retry = ended.again(self.tries[ended.job.number])
        if retry is None or not undone:
            return False
        self.tries[ended.job.number] += 1
        self.emit(ev.Notice(level="warning", text=retry.why, key=undone[0].key))
        return True

    def _is_done(self, job: Job) -> bool:
        return all(node.key in self.finished for node in job.nodes)

    def _give_up(self, waiting: list[Job]) -> None:
        """Take out jobs that need something which failed, and those that need them; their trials show why."""
        while hopeless := [job for job in waiting if self.broken & job.needs]:
            for job in hopeless:
                waiting.remove(job)
                self.broken |= {node.key for node in job.nodes if node.key not in self.finished}

    def _settle(self, ended: JobEnded) -> None:
        """After a worker's end: steps without a result have failed, the first of them for the worker's reason."""
        undone = [node for node in ended.job.nodes if node.key not in self.finished]
        for node in undone:
            if node.key in self.broken:
                break
            if (stored := self.store.get(node.key)) is not None:
                # Committed, but killed before it could say so.
                self._report_reused(stored)
                self.heartbeat.note(self.state)
                continue
            problem = ended.problem or without_result(node, "engine")
            self.emit(ev.StepFailed(key=node.key, kind=node.kind, error=problem))
            break
        self.broken |= {node.key for node in ended.job.nodes if node.key not in self.finished}


def _in_order(jobs: list[Job], parallel: int) -> list[Job]:
    """One worker: trial by trial. Several: computing first, so that measuring alone does not idle them.

    Latency comes last, all of it together: the curve is there first, and the machine has to be quiet once.
    """
    if parallel == 1:
        return sorted(jobs, key=lambda job: (_times(job), job.trial, job.number))
    return sorted(jobs, key=lambda job: (_times(job), job.exclusive, job.number))


def _times(job: Job) -> bool:
    """Whether it measures what a finished model takes, which no other job waits for."""
    return all(node.kind == "latency" for node in job.nodes)


def preload(spec: Spec, plan: Plan) -> list[str]:
    """Slow imports that this study's workers need: better once than in each of them."""
    exports = any(job.exclusive for job in plan.jobs) or spec.settings.measure.latency is not None
    torchvision = any(trial.settings.model.name.startswith("torchvision/") for trial in spec.trials)
    clusters = any(step.kind.startswith("cluster.") for trial in spec.trials for step in trial.steps)
    return (
        ["engine.compute.worker.warm_export"] * exports
        + ["torchvision"] * torchvision
        + ["sklearn.cluster"] * clusters
    )


def main() -> int:
    """Entry of the engine process; what goes wrong ends up in the study's log.

    Its arguments: the study's folder, and as JSON what `engine.runner.launch` asks for. Its exit code is 128 and the
    number of the signal that ended it, if one did.
    """
    guard_streams()
    run, asked = RunDir(Path(sys.argv[1])), json.loads(sys.argv[2])
    stop = StopRequest(run.stop)
    try:
        with private.own_temporary():
            lease = claim(run.path, asked["every"], asked["silent"])
            try:
                supervisor = Supervisor(run, lease, stop, asked["every"], here=asked["here"])
                # After a bug of ours too: the study is lost then.
                with contextlib.closing(supervisor.heartbeat):
                    supervisor.work()
            finally:
                lease.release()
    except SecateurError as error:
        traceback.print_exc()
        print(f"error: {error.sentence}", file=sys.stderr)
        return error.exit_code
    return exit_code_of(stop.signal) if supervisor.state.signal else 0
