"""From trials to a tree of steps with keys, and from the tree to jobs.

A step's key is the hash of its parent's key and of all that decides its result. Trials that share
their first steps share those keys, so that a sweep trains its baseline once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine import environment
from engine.keys import file_hash, key
from engine.params import Step
from engine.spec import Spec, Trial

MEASURE_VERSION = 2
"""Raised when what is measured, or how, changes."""
LATENCY_VERSION = 1
WEIGHT_FILES = ("model.json", "model.safetensors", "pytorch_model.bin", "model.pth", "model.pt")
"""What a folder named by `model.weights` may hold: a checkpoint of ours, or another program's weights."""


@dataclass(frozen=True)
class Node:
    """One result to be in the store: a step's model, a trial's measures or its latency.

    `parent` is the key of the step whose model it starts from (None: the network as it is built).
    `baseline` is what it is compared with: for a step, the key of the last uncompressed step; for measures,
    the key of the baseline's measures; None before and at the baseline itself. `alone`: times are measured,
    so nothing else may run on the machine meanwhile.
    """

    key: str
    kind: str
    address: str
    material: dict[str, Any]
    parent: str | None
    position: int
    baseline: str | None = None
    needs: tuple[str, ...] = ()
    alone: bool = False


@dataclass(frozen=True)
class PlannedTrial:
    """A trial with the nodes it goes through."""

    trial: Trial
    fingerprint: str
    steps: tuple[Node, ...]
    measure: Node
    latency: Node | None
    baseline: str
    baseline_measure: Node

    def as_dict(self) -> dict[str, Any]:
        """As in the event `Planned`."""
        return {
            "index": self.trial.index,
            "parameters": self.trial.parameters,
            "steps": [{"key": n.key, "kind": n.kind, "address": n.address} for n in self.steps],
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


@dataclass(frozen=True)
class Plan:
    device: str
    threads: int
    trials: tuple[PlannedTrial, ...]
    jobs: tuple[Job, ...] = field(default=())

    @property
    def nodes(self) -> dict[str, Node]:
        return {node.key: node for job in self.jobs for node in job.nodes}


def make(spec: Spec, fingerprints: dict[str, str]) -> Plan:
    """Plan a study; `fingerprints` has the data fingerprint of each trial's `data_id`."""
    settings = spec.settings
    device = environment.resolve_device(settings.device)
    threads = environment.resolve_threads(settings.threads, settings.executor.local.parallel)
    trials = tuple(_plan_trial(t, fingerprints[data_id(t)], device, threads) for t in spec.trials)
    return Plan(device, threads, trials, _jobs(trials))


def data_id(trial: Trial) -> str:
    """Tells trials' data sections apart."""
    return key(trial.settings.data.model_dump(mode="json"))


def _plan_trial(trial: Trial, fingerprint: str, device: str, threads: int) -> PlannedTrial:
    root = _root_key(trial, fingerprint, device, threads)
    steps = [] if _starts_by_training(trial) else [_built_node(root)]
    baseline = steps[0].key if steps else ""
    compressed = False
    for position, step in enumerate(trial.steps):
        compressed |= step.compresses
        parent = steps[-1].key if steps else None
        steps.append(_step_node(step, parent, root, position, baseline if compressed else None))
        if not compressed:
            baseline = steps[-1].key
    last = steps[-1].key
    size = trial.settings.measure.size
    baseline_measure = _measure_node(baseline, None, size)
    measure = _measure_node(last, baseline_measure.key, size) if compressed else baseline_measure
    latency = _latency_node(trial, last, baseline, (measure.key, baseline_measure.key), device, threads)
    return PlannedTrial(trial, fingerprint, tuple(steps), measure, latency, baseline, baseline_measure)


def _starts_by_training(trial: Trial) -> bool:
    """Whether the network's first weights are random ones that no result depends on by itself."""
    return trial.settings.model.weights == "random" and bool(trial.steps) and trial.steps[0].trains


def _built_node(root: str) -> Node:
    material = {"kind": "model", "version": 1}
    return Node(key({"parent": root, **material}), "model", "model", material, None, -1)


def _root_key(trial: Trial, fingerprint: str, device: str, threads: int) -> str:
    model = trial.settings.model
    return key(
        {
            # Whether a download or a pickle is allowed decides whether there is a result, not which.
            "model": model.model_dump(mode="json", exclude={"allow_download", "trust_pickle"}),
            "model_files": {name: _content(Path(name)) for name in _model_files(model.name, model.weights)},
            "data": fingerprint,
            "seed": trial.settings.seed,
            "numerics": environment.numerics(device, threads),
        }
    )


def _model_files(name: str, weights: str) -> list[str]:
    """The user's own files that decide what the model is; of a folder, the files of weights that it may have."""
    named = [name.rpartition(":")[0], weights, *(f"{weights}/{file}" for file in WEIGHT_FILES)]
    if weights.endswith("/model.safetensors"):
        named.append(str(Path(weights).with_name("model.json")))
    return [file for file in named if file and Path(file).is_file()]


def _content(path: Path) -> str:
    """The file's hash; a study of many trials reads it once."""
    found = path.stat()
    return _hash(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash(path: Path, _size: int, _changed: int) -> str:
    return file_hash(path)


def _step_node(step: Step, parent: str | None, root: str, position: int, baseline: str | None) -> Node:
    material: dict[str, Any] = {"kind": step.kind, "version": step.version, "params": step.key_material()}
    if step.measures_time:
        material |= _timing()
    own = key({"parent": parent or root, **material})
    needs = tuple(k for k in (parent, baseline) if k)
    return Node(own, step.kind, step.address, material, parent, position, baseline, needs, step.measures_time)


def _timing() -> dict[str, Any]:
    """What times depend on beyond the environment that is in every key."""
    return {
        "host": environment.describe()["host"],
        "onnxruntime": environment.packages().get("onnxruntime"),
    }


def _measure_node(parent: str, baseline: str | None, size: bool) -> Node:
    material = {"kind": "measure", "version": MEASURE_VERSION, "size": size}
    own = key({"parent": parent, "baseline": baseline, **material})
    needs = (parent, baseline) if baseline else (parent,)
    return Node(own, "measure", "measure", material, parent, 0, baseline, needs)


def _latency_node(
    trial: Trial, last: str, baseline: str, measured: tuple[str, str], device: str, threads: int
) -> Node | None:
    """Latency of the trial's model against the baseline's, on this host; after both were `measured`."""
    wanted = trial.settings.measure.latency
    if wanted is None:
        return None
    material = {
        "kind": "latency",
        "version": LATENCY_VERSION,
        "params": wanted.model_dump(mode="json"),
        "device": device,
        "threads": threads,
        **_timing(),
    }
    own = key({"parent": last, "baseline": baseline, **material})
    return Node(own, "latency", "latency", material, last, 0, baseline, measured, alone=True)


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
        alone = key_ if node.alone else ""
        groups.setdefault((tuple(users[key_]), stage, alone), []).append(node)
    jobs = []
    for number, ((indices, _, alone), members) in enumerate(groups.items()):
        inside = {node.key for node in members}
        needs = frozenset(k for node in members for k in node.needs if k not in inside)
        jobs.append(Job(number, indices[0], tuple(members), needs, bool(alone)))
    return tuple(jobs)


def _staged(planned: PlannedTrial) -> Iterator[tuple[Node, int]]:
    """A trial's nodes, each with the number of nodes before it that run alone."""
    stage = 0
    for node in _nodes_of(planned):
        yield node, stage
        stage += node.alone


def _nodes_of(planned: PlannedTrial) -> list[Node]:
    """A trial's nodes, the baseline's measures right after the baseline itself."""
    out: list[Node] = []
    for node in planned.steps:
        out.append(node)
        if node.key == planned.baseline:
            out.append(planned.baseline_measure)
    out.append(planned.measure)
    if planned.latency:
        out.append(planned.latency)
    return out
