"""A task: one process of a job array. It plans the study anew from its folder, does its share, and leaves.

Run by a stage's batch script with the study's folder, the stage and the task's index. There is no coordinator: tasks
meet in the store, its claims and the study's folder alone, and any of them may be killed at any time.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import SecateurError, UsageError
from engine.machine import environment, gpus, private, procfs, signals
from engine.machine.value import Machine
from engine.presets.spec import Spec
from engine.runner import inputs, launch, planning, replay, rounds, staging
from engine.runner.checkup import check_up
from engine.runner.executors import choose, nodes
from engine.runner.executors.base import Executor
from engine.runner.progress import Progress
from engine.runner.share import POLL_S, Share
from engine.runner.status import plan_event
from engine.runner.stopping import Stop, StopRequest
from engine.runner.supervisor import preload
from engine.search.choice import NothingFound
from engine.slurm import duration, inside
from engine.store import claims
from engine.store.claims import Claims
from engine.store.files import explained
from engine.store.objects import StoredObject
from engine.studies import basis, checkup
from engine.studies import events as ev
from engine.studies.basis import Basis
from engine.studies.job import request
from engine.studies.log import EventLog
from engine.studies.plan import Job, Node, Plan, data_id, make
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState
from engine.studies.tasks import Tasks, resolve
from engine.text.visible import guard_streams

AT_LIMIT_S = 10.0
"""TERM so shortly before the end of a task's time is taken for its limit: Slurm looks at limits now and then."""


class Task:
    """One attempt at one task of a stage."""

    def __init__(self, run: RunDir, stage: str, index: int, disk: Path | None = None) -> None:
        self.run, self.disk = run, disk
        self.attempt = inside.attempt() or inside.by_hand(index)
        tasks = Tasks.read(run)
        if tasks is None:
            raise SecateurError(
                f"{run.tasks} can't be read", "", f"Submit it again: `secateur resume {run.name}`."
            )
        (self.tasks, self.stage), self.index = planning.stage_of(run, tasks, stage), index
        self.asked = run.asked()
        self.spec: Spec = run.spec()
        self.rounds = self.tasks.rounds(self.stage)
        self.code = inputs.code_of(run, self.spec)
        self.store = run.store()
        with explained(run.task_events):
            run.task_events.mkdir(exist_ok=True)
        self.log = EventLog(run.task_events / f"{self.attempt.key}.jsonl")
        self.progress = Progress(run)
        self.stop = StopRequest(run.stop)
        self.started = time.monotonic()
        self.peak_memory = procfs.peak_rss()
        limit = duration.seconds(self.tasks.asked.time)
        if limit and not self.attempt.ends:
            self.attempt = replace(self.attempt, ends=time.time() + limit)
        self._said: set[str] = set()

    def emit(self, event: ev.Event) -> None:
        """Write one event; steps get the task's name."""
        if isinstance(event, ev.StepStarted):
            event = replace(event, task=self.attempt.key)
        self.log.append(event)
        if isinstance(event, ev.StepFinished):
            self.peak_memory = max(self.peak_memory, event.observations.get("peak_memory", 0))
        if isinstance(event, ev.StepFinished | ev.StepFailed):
            self.progress.refresh()
        elif isinstance(event, ev.StepWaits):  # nothing else may be told for long
            self.progress.refresh(at_once=True)

    def notice(self, level: ev.Level, text: str) -> None:
        """Tell something once."""
        if text not in self._said:
            self._said.add(text)
            self.emit(ev.Notice(level=level, text=text))

    def work(self) -> None:
        """Do the task to its end, whichever; nothing is written after `TaskEnded`."""
        self._begin()
        trouble: SecateurError | None = None
        try:
            outcome = "stopped" if self.stopping else self._carry_out()
        except Stop:
            outcome = "stopped"
        except SecateurError as error:  # this node's, or this moment's: other tasks may fare better
            outcome, trouble = "failed", error
        try:
            if trouble is not None:
                where = f"Task {self.attempt.name} on {self.attempt.host}"
                self.notice("error", f"{where} gave up: {trouble.sentence}")
            self._end(outcome)
        except SecateurError as error:  # nothing can be told, as on a full disk: the log may have room
            trouble = trouble or error
        if trouble is not None:
            raise trouble  # so that Slurm too counts the task as failed

    @property
    def stopping(self) -> bool:
        return bool(self.stop)

    def _begin(self) -> None:
        self.emit(
            ev.TaskStarted(
                task=self.attempt.key,
                name=self.attempt.name,
                stage=self.stage.name,
                host=self.attempt.host,
                restart=self.attempt.restart,
                given=self.attempt.as_dict(),
                environment=environment.describe() | inside.software(),
            )
        )
        self.progress.refresh()
        if self.attempt.restart:
            self._leave_out_failed_node()

    def _leave_out_failed_node(self) -> None:
        """Started again: if the node before has failed, the array's tasks that wait stay away from it."""
        before = self.progress.state.tasks.get(replace(self.attempt, restart=self.attempt.restart - 1).key)
        if before is None or before.host == self.attempt.host:
            return
        problem = nodes.failed(before.host)
        if problem:
            outcome = nodes.leave_out(self.attempt.job, [before.host])
            self.notice("warning", f"Node {before.host} is {problem} and had this task before; {outcome}")

    def _carry_out(self) -> str:
        try:
            planned = self._planned()
        except SecateurError as error:  # no other task would fare better
            return self._end_study(error)
        try:
            return planned if isinstance(planned, str) else self._compute(*planned)
        except UsageError as error:  # what the check-up refuses can't be on any node
            return self._end_study(error)
        except (planning.NotSent, NothingFound) as error:  # all that was planned is told; who resumes goes on
            self.emit(ev.StudyFinished(state="failed", error=error.as_dict()))
            return "done"

    def _end_study(self, error: SecateurError) -> str:
        with explained(self.run.stop):
            self.run.stop.touch()
        self.emit(ev.StudyFinished(state="failed", error=error.as_dict()))
        return "done"

    def _planned(self) -> tuple[Plan, Basis] | str:
        """The plan and what it is made from; or the task's outcome, if it is to compute nothing here."""
        settings, mixed = self.spec.settings, self.tasks.asked.mixed_nodes
        together = settings.distributed
        gpus.check(settings.device, together.processes, together.here(settings.executor.slurm))
        mine = choose.machine(settings).of_any_node(mixed)
        before = basis.latest(self.run, self.tasks.submission)
        if before is not None and (unlike := self._unlike(mine, before)):
            return self._other_node(before, unlike)
        said = basis.read(self.run, self.tasks.submission)
        agreed = said or self._first(before, mine)
        if unlike := self._unlike(mine, agreed):  # another kind of node was faster to say what it is
            return self._other_node(agreed, unlike)
        plan = self._plan(agreed)
        # Who has said it may have been killed before the plan was told.
        if said is None or not self.state().trials:
            self._tell(plan, agreed)
        return plan, agreed

    def _unlike(self, mine: Machine, agreed: Basis) -> list[str]:
        """How this node differs from the study's, where that matters: to plan, any node will do."""
        return [] if planning.only_plans(self.stage, self.state()) else mine.like(agreed.machine)

    def _plan(self, agreed: Basis) -> Plan:
        """The plan; of a search so far."""
        plan = make(self.spec, agreed.fingerprints, agreed.machine, self.code)
        if self.spec.space is None:
            return plan
        self.planner = rounds.Rounds.of(self.run, self.spec, agreed.machine, self.code)
        return self.planner.whole(plan, planning.told_before(self.state, self.rounds))

    def _first(self, before: Basis | None, mine: Machine) -> Basis:
        """Say what the study is planned from."""
        machine = before.machine if before else mine
        launch.check_machine(self.spec, machine, decided=bool(self.asked.get("replay_of")))
        for text in inputs.changes(self.run, self.code):
            self.notice("warning", text)
        settings = self.spec.settings
        for level, text in gpus.notes(settings.device, 1, settings.distributed.here(settings.executor.slurm)):
            self.notice(level, text)
        prints = self.stop.leave(
            lambda: inputs.data_of(self.run, self.spec, self.asked.get("replay_of")), inputs.give_up
        )
        return basis.fix(self.run, self.tasks.submission, Basis(machine, self.attempt.host, prints))

    def _tell(self, plan: Plan, agreed: Basis) -> None:
        """Tell the plan, and what of it is in the store already. Told twice, it is the same."""
        self.hand_over(plan)
        self.emit(plan_event(self.spec, plan))
        planning.tell_again(self, self.rounds)
        self.store.sweep_temporary()
        claims.sweep(self.store.claims_root)
        nodes.remember(self.run.workspace, self.tasks.asked, self.spec.settings, agreed.machine)
        for node in plan.nodes.values():
            self.reuse(node)

    def hand_over(self, plan: Plan) -> None:
        """A replay decides by the times that its original measured."""
        original = self.asked.get("replay_of")
        if original:
            replay.hand_over(self.run.beside(original), plan, self.store)

    def reuse(self, node: Node) -> None:
        """Report a result that is in the store already, or why it can't be used."""
        stored, trouble = self.store.review(node.key, node.address)
        if trouble is not None:
            self.emit(ev.Notice(level="warning", text=trouble, key=node.key))
        elif stored is not None:
            self.report(stored)

    def report(self, stored: StoredObject) -> None:
        for event in ev.reused(stored):
            self.emit(event)

    def state(self) -> StudyState:
        """The study as all its tasks have told it."""
        return self.progress.read()

    def _other_node(self, agreed: Basis, unlike: list[str]) -> str:
        feature = nodes.telling_features(agreed.host, self.attempt.host)
        self.notice(
            "warning",
            f"{self.attempt.host} is another kind of node than {agreed.host}, on which the study was begun "
            f"({'; '.join(unlike)}): task {self.attempt.name} computed nothing there, since results would have other "
            f"bits. {feature} `mixed_nodes: true` computes on all of them",
        )
        return "other node"

    def _compute(self, plan: Plan, agreed: Basis) -> str:
        machine = agreed.machine
        jobs = resolve(self.stage, plan)
        copies = self._staged(agreed.fingerprints)
        executor = choose.executor(
            self.spec.settings,
            1,
            machine,
            lambda job, cpus: staging.onto(request(job, plan, self.run, self.store, cpus), copies),
            preload=preload(self.spec, plan),
        )
        supersedes = f"{self.attempt.name}." if self.attempt.restart else ""
        with Claims(self.store.claims_root, self.attempt.key, supersedes) as held:
            share = Share(self, executor, held, list(plan.jobs))
            try:
                if not self._check_up(plan, machine, executor, held):
                    return "stopped"
                mine = [jobs[place] for place in self.stage.share(self.index)]
                share.do(mine)
                if self.stage.plans is not None:
                    planning.go_on(self, self.planner, plan, self.stage.plans, share)
                elif not self.stopping:
                    share.help(_from(jobs, self.index))
            finally:
                executor.stop()
            share.tell_untold()
        return "stopped" if self.stopping else "done"

    def _staged(self, prints: dict[str, str]) -> dict[str, str]:
        """Copies of the images on the node's disk, by data section, where that is asked for."""
        if not self.tasks.asked.stage_data:
            return {}
        together = self.spec.settings.distributed
        if together.processes > together.here(self.spec.settings.executor.slurm):
            self.notice(
                "warning", "Images are read from where they lie: other nodes of the training have no copy"
            )
            return {}
        copies = {}
        for data, name in dict.fromkeys((trial.settings.data, data_id(trial)) for trial in self.spec.trials):
            about = f"{self.attempt.job}-{prints[name]}"
            copy, reason = staging.stage(data, self.run.workspace, self.disk, about)
            if copy is None:
                self.notice("warning", f"Images are read from where they lie: {reason}")
            else:
                copies[data.model_dump_json()] = copy
        return copies

    def _check_up(self, plan: Plan, machine: Machine, executor: Executor, held: Claims) -> bool:
        """Try the study's networks, as far as no task has done it before or does it now; False if asked to stop."""
        if self.spec.space is None:
            jobs = checkup.jobs(plan, machine, self.code)
        else:
            begun = bool(self.rounds or self.asked.get("replay_of"))
            jobs = rounds.tried(self.spec, plan, machine, self.code, begun=begun)
        needed = any(self.store.get(key) is None for key in plan.nodes)
        keys = [node.key for job in jobs for node in job.nodes] if needed else []
        claimed = keys[:1]  # for all of them: one task tries them, the others wait for what it finds
        while any(self.store.get(key) is None for key in keys) and not all(map(held.take, claimed)):
            if self.stopping:
                return False
            time.sleep(POLL_S)

        def tell(event: ev.Event) -> None:
            checked = isinstance(event, ev.CheckedUp) and self.state().checked is not None
            reached = isinstance(event, ev.Reached) and self.state().reached is not None
            if not checked and not reached:
                self.emit(event)

        try:
            return check_up(
                jobs,
                executor,
                self.store,
                tell,
                needed=needed,
                stopping=lambda: self.stopping,
                poll_s=POLL_S,
                before=lambda: rounds.tell_reach(self.spec, self.run, machine, jobs, tell),
            )
        finally:
            held.release(claimed)

    def _end(self, outcome: str) -> None:
        """Tell the study's end if this was its last task, then this task's, and go back into the queue if need be."""
        self.log.flush()  # of two tasks that end at once, on two nodes, one at least reads the other's last word
        self._finish_study()
        again = outcome == "stopped" and self._goes_on()
        self.emit(
            ev.TaskEnded(
                task=self.attempt.key,
                outcome="requeued" if again else outcome,  # type: ignore[arg-type]
                used=self._used(),
            )
        )
        self.log.close()
        self.progress.refresh(at_once=True)
        if again:
            try:
                nodes.requeue(self.attempt.name)
            except SecateurError as error:
                print(f"{error}\n`secateur resume {self.run.name}` goes on", file=sys.stderr, flush=True)

    def _used(self) -> dict[str, Any]:
        return {
            "seconds": time.monotonic() - self.started,
            "cpu_seconds": procfs.used_with_children_s(os.getpid()),
            "peak_memory": self.peak_memory,
        }

    def _goes_on(self) -> bool:
        """Whether this task is to be put back into the queue: warned of its limit, or ended by it."""
        if self.run.stop.exists() or self.tasks.asked.requeue is False:
            return False
        if self.stop.signal in signals.WARNINGS:
            return True
        # A task that was cancelled stays so; TERM at the limit without a warning before is the limit's.
        return bool(self.attempt.ends) and time.time() > self.attempt.ends - AT_LIMIT_S

    def _finish_study(self) -> None:
        state = self.state()
        outcome = planning.outcome(state, of_search=self.spec.space is not None)
        if outcome is None or state.status == outcome:
            return
        original = self.asked.get("replay_of")
        if original and outcome == "done":
            self.emit(replay.compare(self.run.beside(original), self.run, state))
        self.emit(ev.StudyFinished(state=outcome))


def _from(jobs: list[Job], start: int) -> list[Job]:
    """All jobs, beginning with that at `start`, so that helpers begin at different places."""
    return jobs[start:] + jobs[:start]


def main() -> None:
    """Entry of the task's process."""
    guard_streams()
    folder, stage, index = sys.argv[1:4]
    os.environ.update(launch.process_environment())
    try:
        disk = staging.node_disk()  # before TMPDIR becomes ours
        with private.own_temporary():
            Task(RunDir(Path(folder)), stage, int(index), disk).work()
    except SecateurError as error:
        print(f"error: {error.sentence}", file=sys.stderr)
        sys.exit(error.exit_code)
