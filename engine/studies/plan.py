"""From trials to a tree of steps with keys, and from the tree to jobs.

A step's key is the hash of its parent's key and of all that decides its result. Trials that share
their first steps share those keys, so that a sweep trains its baseline once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from engine.machine.value import Machine
from engine.params import Distill, Step
from engine.params.distillation import BaselineTeacher, ModelTeacher, own_teachers
from engine.params.preset import Model
from engine.presets.spec import Spec, Trial
from engine.sources import Sources, collect, references
from engine.store.keys import key
from engine.store.paths import here
from engine.studies.roots import PIECES_VERSION, data_key, root_key, weights_of

MEASURE_VERSION = 8
"""Raised when what is measured, or how, changes."""
LATENCY_VERSION = 4
Wanted = dict[str, Any]
"""What is to be measured, as a node's material has it."""


@dataclass(frozen=True)
class Node:
    """One result to be in the store: a step's model, a trial's measures or its latency.

    `parent` is the key of the step whose model it starts from (None: the network as it is built).
    `baseline` is what it is compared with: for a step, the key of the last uncompressed step; for measures,
    the key of the baseline's measures; None before and at the baseline itself. `exclusive`: times are measured,
    so nothing else may run on the machine meanwhile. `teacher`: for a step, the key of the model that teaches it;
    for measures, the key of the teacher's measures. `control`: the key of the measures of the same trial without
    a teacher.
    """

    key: str
    kind: str
    address: str
    material: dict[str, Any]
    parent: str | None
    position: int
    baseline: str | None = None
    needs: tuple[str, ...] = ()
    exclusive: bool = False
    teacher: str | None = None
    control: str | None = None


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with the nodes it goes through.

    `beside` are results that its own are compared with: its teachers, their measures, and the trial without a
    teacher; and what was found out of its model (`Trial.tables`). `parameters`
    has the step that each node does, by key; `weights` the SHA-256 of each file that its networks are read from.
    """

    trial: Trial
    fingerprint: str
    steps: tuple[Node, ...]
    measure: Node
    latency: Node | None
    baseline: str
    baseline_measure: Node
    beside: tuple[Node, ...]
    parameters: dict[str, Step]
    weights: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As in the event `Planned`."""
        return {
            "index": self.trial.index,
            "parameters": self.trial.parameters,
            "steps": [_named(node) for node in self.steps],
            "beside": [_named(node) for node in self.beside],
            "measure": self.measure.key,
            "latency": self.latency.key if self.latency else None,
            "baseline": self.baseline,
            "baseline_measure": self.baseline_measure.key,
        }


@dataclass(frozen=True)
class Job:
    """Nodes that one worker does in one go, for the sake of trial `trial`.

    `needs` are keys that other jobs must have stored before; an `exclusive` job runs alone on its machine.
    """

    number: int
    trial: int
    nodes: tuple[Node, ...]
    needs: frozenset[str]
    exclusive: bool

    @classmethod
    def of(cls, number: int, trial: int, nodes: tuple[Node, ...], exclusive: bool) -> Self:
        """The job of these nodes: it needs what they need of others."""
        needs = frozenset(k for node in nodes for k in node.needs) - {node.key for node in nodes}
        return cls(number, trial, nodes, needs, exclusive)


@dataclass(frozen=True)
class Plan:
    device: str
    threads: int
    trials: tuple[PlannedTrial, ...]
    jobs: tuple[Job, ...] = field(default=())

    @property
    def nodes(self) -> dict[str, Node]:
        return {node.key: node for job in self.jobs for node in job.nodes}


def make(spec: Spec, fingerprints: dict[str, str], machine: Machine, sources: Sources | None = None) -> Plan:
    """Plan a study for `machine`; `fingerprints` has the data fingerprint of each trial's `data_id`.

    `sources` is the users' code that the study keeps, by default what is on the disk now.
    """
    code = sources or sources_of(spec, here())
    trials = tuple(plan_trial(t, fingerprints[data_id(t)], machine, code) for t in spec.trials)
    return Plan(machine.device, machine.threads, trials, _jobs(trials))


def extended(plan: Plan, more: tuple[PlannedTrial, ...]) -> Plan:
    """The plan with more trials, whose indices follow on those that it has; its jobs are theirs alone."""
    return Plan(plan.device, plan.threads, (*plan.trials, *more), _jobs(more))


def joined(plan: Plan, more: tuple[PlannedTrial, ...]) -> Plan:
    """The plan with more trials, whose indices follow on those that it has, and the jobs of all of them."""
    trials = (*plan.trials, *more)
    return Plan(plan.device, plan.threads, trials, _jobs(trials))


def sources_of(spec: Spec, cwd: Path) -> Sources:
    """The users' code that a preset names, as it is now; `cwd` is the folder that its relative paths start from.

    Raises UsageError for a file that is missing or is no Python.
    """
    named, arguments = references((trial.settings, trial.steps) for trial in spec.trials)
    return collect(named, cwd, arguments)


def data_id(trial: Trial) -> str:
    """Tells trials' data sections apart."""
    return data_key(trial.settings.data)


def _named(node: Node) -> dict[str, str]:
    return {"key": node.key, "kind": node.kind, "address": node.address}


def plan_trial(trial: Trial, fingerprint: str, machine: Machine, code: Sources) -> PlannedTrial:
    def root(model: Model) -> str:
        return root_key(trial, model, fingerprint, machine, code)

    wanted: Wanted = {"size": trial.settings.measure.size}
    wanted |= {"splits": ["validation"]} if trial.validation_only else {}
    chain = _chain(trial, trial.steps, root, machine)
    beside = list(chain.teachers)
    taught = _measure_node(chain.teacher, None, wanted) if chain.teacher else None
    beside += [taught] if taught else []
    parameters, control = dict(chain.parameters), None
    if any(isinstance(step, Distill) and step.control for step in trial.steps):
        untaught = _chain(trial, [_without_teacher(step) for step in trial.steps], root, machine)
        control = _final_measure(untaught, wanted, None, None)[0]
        beside += [replace(n, address=f"control {n.address}") for n in untaught.steps if n not in chain.steps]
        beside.append(control)
        parameters |= untaught.parameters
    for step in trial.tables:
        node = _table_node(step, chain, root(trial.settings.model), len(trial.steps), machine)
        beside.append(node)
        parameters[node.key] = step
    measure, baseline_measure = _final_measure(chain, wanted, taught, control)
    latency = _latency_node(
        trial, chain.steps[-1].key, chain.baseline, (measure.key, baseline_measure.key), machine
    )
    own = {measure.key, baseline_measure.key}
    others = tuple({node.key: node for node in beside if node.key not in own}.values())
    return PlannedTrial(
        trial,
        fingerprint,
        tuple(chain.steps),
        measure,
        latency,
        chain.baseline,
        baseline_measure,
        others,
        parameters,
        {
            name: digest
            for model in (trial.settings.model, *own_teachers(trial.all_steps))
            for name, digest in weights_of(model).items()
        },
    )


@dataclass
class _Chain:
    """Steps one after the other; `teacher` is the key of the model that taught last, "" without any.

    `beyond`: whether the last step comes behind the baseline."""

    steps: list[Node]
    baseline: str = ""
    beyond: bool = False
    teacher: str = ""
    teachers: list[Node] = field(default_factory=list)
    parameters: dict[str, Step] = field(default_factory=dict)


def _chain(trial: Trial, steps: Sequence[Step], root: Callable[[Model], str], machine: Machine) -> _Chain:
    start = root(trial.settings.model)
    chain = _Chain([] if _starts_by_training(trial) else [_built_node(start)])
    chain.baseline = chain.steps[0].key if chain.steps else ""
    for position, step in enumerate(steps):
        # Random weights are no baseline: of a network that nothing has trained before, it is what the first step makes.
        chain.beyond |= step.compresses or (position == trial.base and bool(chain.steps))
        parent = chain.steps[-1].key if chain.steps else None
        teacher = _teacher(step, chain, root) if isinstance(step, Distill) else None
        baseline = chain.baseline if chain.beyond else None
        node = _step_node(step, parent, start, position, baseline, teacher, machine)
        chain.steps.append(node)
        chain.parameters[node.key] = step
        chain.teacher = teacher or chain.teacher
        if not chain.beyond:
            chain.baseline = node.key
    return chain


def _table_node(step: Step, chain: _Chain, start: str, position: int, machine: Machine) -> Node:
    """A step whose result nothing goes on from."""
    parent = chain.steps[-1].key if chain.steps else None
    return _step_node(step, parent, start, position, None, None, machine)


def _teacher(step: Distill, chain: _Chain, root: Callable[[Model], str]) -> str | None:
    """The key of the step's teacher; one that is a network of its own becomes a node of `chain.teachers`."""
    match step.teacher:
        case BaselineTeacher():
            return chain.baseline
        case ModelTeacher() as model:
            train = model.train and model.train.model_dump(mode="json")
            material = {"kind": "teacher", "version": 1, "params": train}
            own = key({"parent": root(model), **material})
            chain.teachers.append(Node(own, "teacher", "teacher", material, None, -1))
            chain.parameters[own] = step
            return own
        case _:
            return None


def _without_teacher(step: Step) -> Step:
    return step.without_teacher if isinstance(step, Distill) and step.control else step


def _final_measure(
    chain: _Chain, wanted: Wanted, taught: Node | None, control: Node | None
) -> tuple[Node, Node]:
    """The measures of the chain's end, and those of its baseline: the same where that is its end."""
    beside = (taught.key if taught else None, control.key if control else None)
    if not chain.beyond:
        measure = _measure_node(chain.baseline, None, wanted, *beside)
        return measure, measure
    baseline = _measure_node(chain.baseline, None, wanted)
    return _measure_node(chain.steps[-1].key, baseline.key, wanted, *beside), baseline


def _starts_by_training(trial: Trial) -> bool:
    """Whether the network's first weights are random ones that no result depends on by itself."""
    return trial.settings.model.weights == "random" and bool(trial.steps) and trial.steps[0].trains


def _built_node(root: str) -> Node:
    material = {"kind": "model", "version": 1}
    return Node(key({"parent": root, **material}), "model", "model", material, None, -1)


def _step_node(
    step: Step,
    parent: str | None,
    root: str,
    position: int,
    baseline: str | None,
    teacher: str | None,
    machine: Machine,
) -> Node:
    material: dict[str, Any] = {"kind": step.kind, "version": step.version, "params": step.key_material()}
    if teacher:
        material["teacher"] = teacher
    if step.timed_in:
        material |= machine.timing((step.timed_in,))
    if step.in_pieces:
        material["pieces"] = PIECES_VERSION
    if step.packages:
        material["packages"] = {name: machine.packages.get(name) for name in step.packages}
    own = key({"parent": parent or root, **material})
    needs = tuple(k for k in (parent, baseline, teacher) if k)
    return Node(
        own, step.kind, step.address, material, parent, position, baseline, needs, step.measures_time, teacher
    )


def _measure_node(
    parent: str, baseline: str | None, wanted: Wanted, teacher: str | None = None, control: str | None = None
) -> Node:
    material = {"kind": "measure", "version": MEASURE_VERSION, **wanted}
    compared = {name: k for name, k in (("teacher", teacher), ("control", control)) if k}
    own = key({"parent": parent, "baseline": baseline, **compared, **material})
    needs = tuple(k for k in (parent, baseline, teacher, control) if k)
    return Node(
        own, "measure", "measure", material, parent, 0, baseline, needs, teacher=teacher, control=control
    )


def _latency_node(
    trial: Trial, last: str, baseline: str, measured: tuple[str, str], machine: Machine
) -> Node | None:
    """Latency of the trial's model against the baseline's, on this host; after both were `measured`."""
    wanted = trial.settings.measure.latency
    if wanted is None:
        return None
    material = {
        "kind": "latency",
        "version": LATENCY_VERSION,
        "params": wanted.model_dump(mode="json"),
        "device": machine.device,
        "threads": machine.threads,
        # A runtime that was missing and is there now has a latency to be measured.
        "unavailable": machine.reasons(wanted),
        **machine.timing(wanted.runtimes),
    }
    own = key({"parent": last, "baseline": baseline, **material})
    return Node(own, "latency", "latency", material, last, 0, baseline, measured, exclusive=True)


def _jobs(trials: tuple[PlannedTrial, ...]) -> tuple[Job, ...]:
    """Group nodes used by exactly the same trials into jobs; a node that measures time is a job of its own.

    What comes before such a node and what comes after it are two jobs: the second waits for it.
    """
    users: dict[str, list[int]] = {}
    nodes: dict[str, tuple[Node, int]] = {}
    for planned in trials:
        for node, stage in _staged(planned):
            nodes.setdefault(node.key, (node, stage))
            mine = users.setdefault(node.key, [])
            if not mine or mine[-1] != planned.trial.index:
                mine.append(planned.trial.index)
    groups: dict[tuple[tuple[int, ...], int, str], list[Node]] = {}
    for key_, (node, stage) in nodes.items():
        own_job = key_ if node.exclusive else ""
        groups.setdefault((tuple(users[key_]), stage, own_job), []).append(node)
    return tuple(
        Job.of(number, indices[0], tuple(members), bool(own_job))
        for number, ((indices, _, own_job), members) in enumerate(groups.items())
    )


def _staged(planned: PlannedTrial) -> Iterator[tuple[Node, int]]:
    """A trial's nodes, each with the number of exclusive nodes before it."""
    stage = 0
    for node in nodes_of(planned):
        yield node, stage
        stage += node.exclusive


def nodes_of(planned: PlannedTrial) -> list[Node]:
    """A trial's nodes, each after those it needs; the baseline's measures right after the baseline itself."""
    out = [node for node in planned.beside if node.kind == "teacher"]
    for node in planned.steps:
        out.append(node)
        if node.key == planned.baseline and planned.baseline_measure is not planned.measure:
            out.append(planned.baseline_measure)
    out += [node for node in planned.beside if node.kind != "teacher"]
    out.append(planned.measure)
    if planned.latency:
        out.append(planned.latency)
    return out
