"""The stored model that a knob turns, the images it is scored on, and what is known of it as it is."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine import datasets, sources
from engine.compute import usercode
from engine.compute.context import Context, to_device
from engine.compute.data import Dataset, load
from engine.compute.data.memory import budget
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.layers.grids import grids
from engine.compute.layers.masks import folded
from engine.compute.layers.select import PRUNABLE, leaf_of, prunable_layers, weight_of
from engine.compute.measures import estimate
from engine.compute.measures.counts import Counts, count
from engine.compute.measures.sizes import distinct
from engine.compute.models import checkpoint
from engine.compute.numerics.aligned import read_tensors
from engine.compute.steps.apply import prepare
from engine.compute.steps.calibration.understood import changeable
from engine.compute.worker.knob.latency import Predicted
from engine.compute.worker.steps import PREDICTIONS
from engine.errors import SecateurError
from engine.measures import latency
from engine.measures.layer_times import TIMES
from engine.params import STEPS, PruneWeights
from engine.results.sensitivity import of_trial
from engine.store.files import read_json
from engine.store.workspace import fingerprints
from engine.studies.knob import Baseline, Costs
from engine.studies.roots import begun_with
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState
from engine.studies.state import load as read_state


@dataclass
class Held:
    """One trial's model in memory.

    `model` is as stored, with its overlays; `plain` computes the same with plain weights, and is what techniques change
    and put back. `right` says of each validation image whether the model as it is knows it. `context` is that of a step
    that would follow the trial's, whose `kinds` are known. `stored` has the tensors of `plain` as a packed file would,
    `latency` the row that the study measured first; empty where it measured none. `times` are those of single layers in
    the same place, where a step measured them. `size_packed` are the bytes of its packed file; None where they are not
    known.
    """

    model: nn.Module
    plain: nn.Module
    context: Context
    right: Tensor
    counts: Counts
    stored: dict[str, estimate.Stored]
    latency: dict[str, Any]
    kinds: frozenset[str]
    times: NetworkTimes | None = None
    size_packed: int | None = None
    _changed: set[str] = field(default_factory=set)

    @property
    def data(self) -> Dataset:
        return self.context.data

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.data.channels, *self.data.size)

    @cached_property
    def changeable(self) -> dict[str, nn.Module]:
        """The layers of `model` whose weights steps change; others are left alone for the steps' own reasons."""
        return changeable(self.model, prunable_layers(self.model, ()), self.context, PruneWeights.kind)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weight of every layer of `plain` as it is without the knob, by the layer's name."""
        layers = {name: m for name, m in self.plain.named_modules() if isinstance(m, PRUNABLE)}
        return {name: weight_of(layer).detach().clone() for name, layer in layers.items()}

    def write(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """`plain` with these weights, by the layer's name, and with its own everywhere else."""
        own = self.weights
        with torch.no_grad():
            for name in self._changed - weights.keys():
                leaf_of(self.plain.get_submodule(name)).copy_(own[name])
            for name, weight in weights.items():
                leaf_of(self.plain.get_submodule(name)).copy_(weight)
        self._changed = set(weights)
        return self.plain

    @cached_property
    def tensors(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Type and shape of what a file of `plain` holds, by name."""
        return {name: (t.dtype, tuple(t.shape)) for name, t in file_of(self.plain).items()}

    @cached_property
    def predicted(self) -> Predicted | None:
        """What tells the latency of networks with other layers; None where nothing of them was timed."""
        if self.times is None:
            return None
        try:
            return Predicted(self.times, self.plain, self.shape, self.latency.get("median_ms"))
        except KeyError:  # the step timed another network's layers
            return None

    def packed_bytes(self, parts: Iterable[estimate.Stored]) -> int:
        """About the bytes of a packed file with these tensors: the estimate, corrected by how far it is off for the
        model as it is, whose file is known."""
        estimated = estimate.packed_bytes(parts)
        return (
            estimated if self.size_packed is None else round(estimated * self.size_packed / self._estimated)
        )

    @cached_property
    def _estimated(self) -> int:
        return estimate.packed_bytes(self.stored.values())

    @cached_property
    def baseline(self) -> Baseline:
        """What it is before the knob is turned."""
        known = self.predicted
        return Baseline(
            float(self.right.double().mean()),
            len(self.right),
            Costs(
                estimate.plain_bytes(self.tensors),
                self.packed_bytes(self.stored.values()),
                self.counts.parameters,
                self.counts.nonzero,
                self.counts.macs,
                self.counts.effective_macs,
                known.baseline if known else self.latency.get("median_ms"),
            ),
            _place(self.latency) or (known.name.removeprefix("latency.") if known else ""),
        )


def hold(run: RunDir, index: int) -> Held:
    """The model of the study's trial `index`, on the CPU.

    Raises SecateurError where it is not in the store, is no classifier in float, or the data are others by now.
    """
    state = read_state(run.path)
    if not 0 <= index < len(state.trials):
        raise SecateurError(f"Study {run.name} has no trial {index}", f"It has {len(state.trials)}.")
    trial, settings, store = state.trials[index], run.settings().of_trial(index), run.store()
    last = trial.steps[-1]
    if store.get(last.key) is None:
        raise SecateurError(
            f"The model of trial {index} is not in the store",
            f"Its last step, {last.address}, is {state.standing(last)}.",
            f"`secateur resume {run.name}` computes it.",
        )
    if any(step.kind in STEPS and STEPS[step.kind].last for step in trial.steps):
        raise SecateurError(
            f"What trial {index} ends with can't be compressed further",
            f"{last.address} leaves what is for inference alone.",
            "Turn the knob of a trial without that step.",
        )
    usercode.use(sources.read(run.code))
    folder = store.verified(last.key, last.content).folder
    model = checkpoint.load(folder, [settings.model.name])
    data = load(
        settings.data,
        datasets.locate(settings.data, run.workspace),
        fingerprint=begun_with(read_json(run.data), settings.data),
        cache=fingerprints(run.workspace),
        budget=budget(),
    )
    if data.task != "classification":
        raise SecateurError(
            "The knob knows classifiers only",
            f"{data.name} is for {data.task}.",
            "Sweep its parameters instead.",
        )
    predictions = read_tensors(folder / PREDICTIONS)["validation"]
    device = torch.device("cpu")
    position = sum(step.kind != "model" for step in trial.steps)
    partial = Path(tempfile.gettempdir()) / "knob-keeps-nothing"
    context = Context(data, device, settings.seeds[0], position, "knob", partial, lambda event: None)
    return held(
        model,
        context,
        predictions == data.validation.labels,
        _measured(trial),
        frozenset(step.kind for step in trial.steps),
        _times(state, trial),
        trial.results.get("size", {}).get("packed"),
    )


def held(
    model: nn.Module,
    context: Context,
    right: Tensor,
    row: dict[str, Any],
    kinds: frozenset[str],
    times: NetworkTimes | None = None,
    size_packed: int | None = None,
) -> Held:
    """`model` ready to be turned; see `Held` for the rest."""
    to_device(model, context.device).eval()
    prepare(model, PruneWeights(), context)
    plain = to_device(folded(model), context.device).eval()
    counts = count(model, (context.data.channels, *context.data.size))
    own = grids(model)
    stored = {name: estimate.stored(tensor, own.get(name)) for name, tensor in file_of(plain).items()}
    return Held(model, plain, context, right, counts, stored, row, kinds, times, size_packed)


def file_of(plain: nn.Module) -> dict[str, Tensor]:
    """What a file of a network without overlays holds: weights that several layers share once."""
    return distinct(plain.state_dict())[0]


def _place(row: dict[str, Any]) -> str:
    """Runtime and batch of a row."""
    return f"{row['runtime']}.{row['batch']}" if row else ""


def _times(state: StudyState, trial: TrialState) -> NetworkTimes | None:
    """What a step of the trial, or else of another one, measured of layers where the trial's latency was measured."""
    place = _place(_measured(trial))
    for one in (trial, *state.trials):
        for scanned in of_trial(one).values():
            told = scanned.get(TIMES)
            if told is not None and (not place or told["name"] == f"latency.{place}"):
                return NetworkTimes.told(told)
    return None


def _measured(trial: TrialState) -> dict[str, Any]:
    """The first row that the study measured of the trial; empty where it measured none."""
    rows = latency.measured(trial.results)
    return rows[0] if rows else {}
