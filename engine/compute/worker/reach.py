"""Finds out what techniques can reach on a network that nobody has trained: it is built, changed, counted and timed."""

import copy
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.compute.context import Context, Send, to_device
from engine.compute.data import Dataset
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, torch_part
from engine.compute.models.sizes import of_model
from engine.compute.numerics.seeds import seed_everything
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.compute.worker.commit import computing, read_data
from engine.errors import SecateurError
from engine.machine import private
from engine.params import STEPS
from engine.params.preset import Latency, Model
from engine.search.reach import TOGETHER
from engine.studies.job import JobRequest
from engine.studies.plan import Node

LEVELS = ("least", "middle", "most")
AS_IT_IS = "as it is"


def run(request: JobRequest, send: Send) -> None:
    """Do the job's node, if the store does not have it."""
    store, data = request.open_store(), read_data(request)
    for node in request.read_nodes():
        if store.get(node.key) is not None:
            continue
        with (
            computing(node, request, send),
            store.writing(node.key) as folder,
            private.scratch() as scratch,
        ):
            started = time.monotonic()
            rows = list(_Reach(request, data, node, scratch, store.templates).rows())
            store.commit(
                node.key,
                folder,
                kind=node.kind,
                material=node.material,
                measures={},
                observations={"rows": rows, "seconds": time.monotonic() - started},
            )


@dataclass
class _Reach:
    request: JobRequest
    data: Dataset
    node: Node
    scratch: Path
    templates: Path

    def rows(self) -> Iterator[dict[str, Any]]:
        """The network as it is; each technique at its levels, the least first; all together at theirs."""
        device, seed = torch.device(self.request.device), self.request.read_settings().seeds[0]
        network, _ = create(
            Model.model_validate(self.node.material["model"]),
            channels=self.data.channels,
            classes=self.data.classes,
            size=self.data.size,
            seed=seed,
            task=self.data.task,
        )
        self.network = to_device(network, device).eval()
        self.seed, self.device = seed, device
        params = self.node.material["latency"]
        self.latency = Latency.model_validate(params) if params else None
        self.first = self._side(self.network)
        yield self._row(AS_IT_IS, "", [], timed=True)
        found = []
        for technique in self.node.material["techniques"]:
            rows = [
                (level, self._row(technique["name"], "", [level])) for level in technique["levels"] if level
            ]
            rows.sort(key=lambda pair: -_amount(pair[1], self.node.material["by"]))
            found.append([level for level, row in rows if "unavailable" not in row])
            for number, (_, row) in enumerate(rows):
                yield row | {"level": _called(number, len(rows))}
        for number, level in enumerate(LEVELS if len(found) > 1 or self.latency else ()):
            steps = [levels[min(number, len(levels) - 1)] for levels in found if levels]
            yield self._row(TOGETHER, level, steps, timed=True)

    def _row(
        self, name: str, level: str, steps: Iterable[dict[str, Any]], *, timed: bool = False
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"name": name, "level": level}
        try:
            model = self._changed(steps)
            counts = count(torch_part(model), (self.data.channels, *self.data.size))
            row |= {
                "parameters": counts.parameters,
                "nonzero_parameters": counts.nonzero,
                "macs": counts.macs,
                "effective_macs": counts.effective_macs,
            }
            if self.node.material["size"]:
                row["size"] = of_model(model)
            if timed and self.latency is not None:
                row["latency"] = self._timed(model)
        except SecateurError as error:
            return row | {"unavailable": error.title}
        return row

    def _changed(self, steps: Iterable[dict[str, Any]]) -> nn.Module:
        model = copy.deepcopy(self.network)
        for number, given in enumerate(steps):
            values = dict(given)
            step = STEPS[values.pop("kind")].model_validate(values)
            seed_everything(self.seed, "step", number)
            partial = self.scratch / f"partial-{number}"
            context = Context(
                self.data, self.device, self.seed, number, self.node.key, partial, lambda event: None
            )
            model = apply(step, model, context)
        return to_device(model, self.device).eval()

    def _side(self, model: nn.Module) -> Side | None:
        if self.latency is None:
            return None
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        checkpoint.save(model, folder)
        runtime = self.latency.runtimes[0]
        shape = (self.data.channels, *self.data.size)
        file = artefact(runtime, model, shape, folder, templates=self.templates)
        return Side(
            {runtime: file}, quantized=isinstance(model, QuantizedNetwork), named=self.request.models_named()
        )

    def _timed(self, model: nn.Module) -> list[dict[str, Any]]:
        assert self.latency is not None and self.first is not None
        other = self.first if model is self.network else self._side(model)
        assert other is not None
        return measure_pair(
            self.first,
            other,
            params=self.latency,
            shape=(self.data.channels, *self.data.size),
            threads=self.request.threads,
            device=self.request.device,
        )


def _amount(row: dict[str, Any], name: str) -> float:
    """How much a row has of a measure of counts or sizes; nothing where it could not be had."""
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _called(number: int, count_: int) -> str:
    """What the levels of a technique are called, of however many there are: the last one compresses most."""
    return LEVELS[-1] if number == count_ - 1 else LEVELS[min(number, 1)]
