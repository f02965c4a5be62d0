"""How a study's jobs are dealt out to tasks of a cluster: stages, each an array of tasks with a share of its jobs.

Jobs are named by trial and place, not by key: the shape of a plan does not depend on the machine, its keys do.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.params.slurm import Slurm
from engine.store.files import read_json, write_json
from engine.studies.plan import Job, Plan, nodes_of
from engine.studies.rundir import RunDir

AT_MOST = 100
"""Tasks of a stage where the preset names no number: as many nodes keep a study of a thousand short trials busy."""

Slot = tuple[int, int]
"""A trial, and the place of a node among those it goes through."""


@dataclass(frozen=True)
class Stage:
    """Jobs that need nothing of each other; task `i` of `tasks` has the jobs `i`, `i + tasks`, …

    `plans`: of a search, the number of the round that the stage's one task plans after its jobs, and sends.
    """

    name: str
    depth: int
    exclusive: bool
    tasks: int
    jobs: tuple[tuple[Slot, ...], ...]
    plans: int | None = None

    def share(self, index: int) -> range:
        """The jobs of a task, by their place in `jobs`."""
        return range(index, len(self.jobs), self.tasks)


@dataclass(frozen=True)
class Tasks:
    """`tasks.json`: what was submitted. `submission` counts how often; `excluded` are nodes that had failed.

    `sender`: of a search's round, the stage whose task has sent it, and may be started again before it is through.
    """

    asked: Slurm
    stages: tuple[Stage, ...]
    submission: int = 1
    excluded: tuple[str, ...] = field(default=())
    sender: Stage | None = None

    def write(self, run: RunDir) -> None:
        values = {
            "asked": self.asked.model_dump(mode="json", exclude_unset=True),
            "stages": [asdict(stage) for stage in self.stages],
            "submission": self.submission,
            "excluded": self.excluded,
            "sender": self.sender and asdict(self.sender),
        }
        write_json(run.tasks, values)

    @staticmethod
    def read(run: RunDir) -> "Tasks | None":
        """What was submitted; None for a study without tasks, or whose file is not whole."""
        content: Any = read_json(run.tasks)
        try:
            stages = tuple(map(_stage, content["stages"]))
            asked = Slurm.model_validate(content["asked"])
            sender = content.get("sender") and _stage(content["sender"])
            return Tasks(asked, stages, content["submission"], tuple(content["excluded"]), sender)
        except (KeyError, TypeError, ValueError):
            return None

    def stage(self, name: str) -> Stage | None:
        """The stage of that name; None where there is none."""
        every = (*self.stages, *([self.sender] if self.sender else []))
        return next((stage for stage in every if stage.name == name), None)

    def rounds(self, stage: Stage) -> int:
        """Of a search: how many rounds a task of the stage has to know; 0 of another study."""
        planned = (one.plans for one in (stage, *self.stages) if one.plans is not None)
        return next(planned, 0)


def deal(plan: Plan, asked: Slurm, skip: Collection[int], limit: int) -> tuple[Stage, ...]:
    """The stages of a plan without the jobs numbered in `skip`; no array has more than `limit` tasks.

    Jobs of one depth in the graph of what needs what are a stage; those that measure time are one of their own.
    """
    slots = _slots(plan)
    groups: dict[tuple[int, bool], list[tuple[Slot, ...]]] = {}
    depths = _depths(plan.jobs)
    for job in plan.jobs:
        if job.number not in skip:
            group = groups.setdefault((depths[job.number], job.exclusive), [])
            group.append(tuple(slots[node.key] for node in job.nodes))
    most = min(limit, asked.tasks or max(AT_MOST, asked.parallel or 0))
    names = _names(list(groups))
    return tuple(
        Stage(names[which], which[0], which[1], min(most, len(jobs)), tuple(jobs))
        for which, jobs in sorted(groups.items())
    )


def deal_round(plan: Plan, asked: Slurm, skip: Collection[int], limit: int, number: int) -> tuple[Stage, ...]:
    """The stages of a search up to the round that is planned next, the one with this `number`.

    What several trials need is a stage, then the trials, then one task that measures what they take, all of it on one
    node, and plans: at most three calls of `sbatch`. A trial's task does by itself what only its trial needs before.
    """
    slots = _slots(plan)
    left = [job for job in plan.jobs if job.number not in skip]
    timing = [job for job in left if all(node.kind == "latency" for node in job.nodes)]
    computing = [job for job in left if job not in timing]
    needed = Counter(key for job in computing for key in job.needs)
    needs_it = {job.number: max(needed[node.key] for node in job.nodes) for job in computing}
    most = min(limit, asked.tasks or max(AT_MOST, asked.parallel or 0))

    def stage(name: str, depth: int, jobs: list[Job], exclusive: bool) -> Stage:
        dealt = tuple(tuple(slots[node.key] for node in job.nodes) for job in jobs)
        return Stage(f"{name}{number - 1 if number else ''}", depth, exclusive, min(most, len(jobs)), dealt)

    shared = [job for job in computing if needs_it[job.number] > 1]
    trials = [job for job in computing if not needs_it[job.number]]
    timed = any(job.exclusive for job in computing)
    found = [stage("shared", 0, shared, timed)] if shared else []
    found += [stage("trials", 1, trials, timed)] if trials else []
    last = stage("plan", 2, timing, bool(timing))
    return (*found, replace(last, name=f"plan{number}", tasks=1, plans=number))


def resolve(stage: Stage, plan: Plan) -> list[Job]:
    """The jobs of a stage as they are in `plan`, each with exactly the nodes that it was dealt with."""
    nodes = [nodes_of(trial) for trial in plan.trials]
    jobs = []
    for number, slots in enumerate(stage.jobs):
        members = {n.key: n for n in (nodes[trial][place] for trial, place in slots)}
        jobs.append(Job.of(number, slots[0][0], tuple(members.values()), stage.exclusive))
    return jobs


def _slots(plan: Plan) -> dict[str, Slot]:
    """Of every node, the first trial that goes through it and its place there."""
    slots: dict[str, Slot] = {}
    for number, trial in enumerate(plan.trials):
        for place, node in enumerate(nodes_of(trial)):
            slots.setdefault(node.key, (number, place))
    return slots


def _depths(jobs: tuple[Job, ...]) -> dict[int, int]:
    """How many jobs come before each, one after the other."""
    makers = {node.key: job for job in jobs for node in job.nodes}
    depths: dict[int, int] = {}

    def depth(job: Job) -> int:
        if job.number not in depths:
            before = {makers[key].number: makers[key] for key in job.needs if key in makers}
            depths[job.number] = 1 + max(map(depth, before.values()), default=-1)
        return depths[job.number]

    for job in jobs:
        depth(job)
    return depths


def _names(groups: list[tuple[int, bool]]) -> dict[tuple[int, bool], str]:
    """Names for people: the last stage that computes is the trials', those before it are shared."""
    computing = sorted(depth for depth, exclusive in groups if not exclusive)
    names = {}
    for depth, exclusive in groups:
        if exclusive:
            name = "times"
        else:
            name = "trials" if depth == computing[-1] else "shared"
        names[depth, exclusive] = f"{name}{depth}"
    return names


def _stage(values: dict[str, Any]) -> Stage:
    jobs = tuple(tuple(map(_slot, job)) for job in values["jobs"])
    return Stage(**{"plans": None} | values | {"jobs": jobs})


def _slot(values: list[int]) -> Slot:
    trial, place = values
    return trial, place
