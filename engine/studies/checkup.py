"""The check-up before a study's first step: which networks are tried, and on what, as jobs for the workers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.datasets.preprocess import unsaid
from engine.machine.value import Machine
from engine.params import Distill, PruneBlocks, PruneChannels, QuantizeQat, Step
from engine.params.base import Foreseen
from engine.params.cheap import cheap
from engine.params.distillation import ModelTeacher, own_teachers
from engine.params.preset import Data, Model
from engine.params.runtimes import KIND
from engine.params.training import Training
from engine.presets.spec import Trial
from engine.sources import Sources
from engine.store.keys import key
from engine.studies.plan import Job, Node, Plan, PlannedTrial
from engine.studies.roots import built_from

CHECKUP = "checkup"
"""The kind of its nodes and of what the store keeps of them."""
REACH = "reach"
"""The same of what finds out how far a search's techniques go: see `engine.search.reach`."""
CHECKUP_VERSION = 15
"""Raised when more is tried, or otherwise."""


@dataclass
class _Wanted:
    """What the trials of a study do with one network."""

    trial: int
    model: Model
    data: Data
    built: dict[str, Any]
    teaches: bool
    batches: set[int] = field(default_factory=set)
    exported: bool = False
    must_export: bool = False
    trains_file: bool = False
    layers: dict[tuple[str, str, tuple[str, ...]], None] = field(default_factory=dict)
    fits: dict[tuple[str, bool, str, str], None] = field(default_factory=dict)

    @property
    def _onnx(self) -> str:
        if self.trains_file:
            return "trained"
        return "must" if self.must_export else "may" if self.exported else ""

    def node(self) -> Node:
        material = {
            "kind": CHECKUP,
            "version": CHECKUP_VERSION,
            "model": self.model.model_dump(mode="json", include=set(Model.model_fields)),
            "teaches": self.teaches,
            "batches": sorted(self.batches),
            "onnx": self._onnx,
            "layers": [[address, parameter, list(names)] for address, parameter, names in self.layers],
            "fits": [
                [json.loads(before), sure, kind, json.loads(values)]
                for before, sure, kind, values in self.fits
            ],
            "data": _called(self.data),
            "note": unsaid(self.model, self.data),
        }
        return Node(key({"built": self.built, **material}), CHECKUP, self.model.title, material, None, -1)


def jobs(plan: Plan, machine: Machine, code: Sources) -> tuple[Job, ...]:
    """One job for each set of data, with a node for each network that is trained, compressed or taught by on it.

    A node's `material` says what to try: `model` (its section of the preset), the `batches` it is trained with,
    whether it has to be exported to ONNX (`must`; `trained` where the file itself is; `may` where only a latency would
    be missing, else empty), and the `layers` that steps name: lists of a step's address, its parameter and the names.
    `fits` are the kinds of steps that its layers allow or not, with the parameters by which they do: each behind the
    steps that change layers before it, and whether these surely leave what they leave when they are tried. `data` is
    what the data are called, `note` what to tell of the network on them. Seeds make no difference here.
    """
    by_data: dict[str, dict[str, _Wanted]] = {}
    for planned in plan.trials:
        networks = by_data.setdefault(planned.fingerprint, {})
        for model, steps, teacher in _networks(planned.trial):
            built = built_from(model, planned.fingerprint, machine, code)
            data, note = planned.trial.settings.data, unsaid(model, planned.trial.settings.data)
            own = key({"built": built, "teaches": teacher is not None, "data": _called(data), "note": note})
            wanted = networks.setdefault(
                own, _Wanted(planned.trial.index, model, data, built, teacher is not None)
            )
            if teacher is None:
                _note_steps(wanted, planned, steps)
            elif teacher.train is not None:
                wanted.batches.add(teacher.train.batch)
    return tuple(
        Job.of(
            -number, next(iter(networks.values())).trial, tuple(w.node() for w in networks.values()), False
        )
        for number, networks in enumerate(by_data.values(), 1)
    )


def _called(data: Data) -> str:
    """The data, with the folder where several of one name may be looked at."""
    return data.name if data.root is None else f"{data.name} {data.root}"


def _networks(trial: Trial) -> Iterator[tuple[Model, tuple[Step, ...], ModelTeacher | None]]:
    """The networks of a trial: its own with what is done to it, and those that teach it."""
    yield trial.settings.model, trial.all_steps, None
    for teacher in own_teachers(trial.steps):
        yield teacher, (), teacher


def _note_steps(wanted: _Wanted, planned: PlannedTrial, steps: tuple[Step, ...]) -> None:
    latency = planned.trial.settings.measure.latency
    runtimes = set(latency.runtimes if latency else ())
    wanted.exported |= any(KIND[runtime].reads == "onnx" for runtime in runtimes)
    original = True
    changed: list[dict[str, Any]] = []
    foreseen: set[Foreseen] = set()
    for step in steps:
        if isinstance(step, Training):
            wanted.batches.add(step.batch)
        timed = step.timed_in
        wanted.must_export |= "onnxruntime" in step.packages or (
            timed is not None and KIND[timed].reads == "onnx"
        )
        wanted.trains_file |= isinstance(step, QuantizeQat)
        # How layers are called once an earlier step has changed the network, what that step leaves tells: see `fits`.
        for parameter, names in _named(step) if original else ():
            wanted.layers[step.address, parameter, names] = None
        # A network that had no feature maps has none when its layers have become smaller.
        # Named layers are there, with what rules them out, as long as they are called as they were.
        as_built = isinstance(step, Distill) or (original and step.named)
        before = [] if as_built else changed
        if step.fits_by and not (before and "not" in foreseen):
            given = step.model_dump(mode="json", include={*step.fits_by, "id"}, exclude_unset=True)
            sure = not (before and "likely" in foreseen)
            wanted.fits[_text(before), sure, step.kind, _text(given)] = None
        original &= not step.renames
        if step.changes_layers():
            changed.append(cheap(step))
            foreseen.add(step.layers_foreseen)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _named(step: Step) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The step's parameters that name layers of the network it works on, with the names."""
    if skip := getattr(step, "skip", ()):
        yield "skip", skip
    if step.named and not isinstance(step, PruneChannels):  # of channels, groups tell: see `fits`
        yield "layers", tuple(step.named)
    if isinstance(step, PruneBlocks) and step.keep:
        yield "keep", step.keep
    if isinstance(step, Distill) and (pairs := getattr(step.method, "layers", ())):
        own_teacher = isinstance(step.teacher, ModelTeacher)
        halves = [text.partition("=") for text in pairs]
        names = [
            name for left, _, right in halves for name in ((left,) if own_teacher else (left, right or left))
        ]
        yield "method.layers", tuple(dict.fromkeys(names))
