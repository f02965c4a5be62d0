"""Finds out what techniques can reach on a network that nobody has trained: it is built, changed, counted and timed."""

import copy
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.compute.context import Context, Send, to_device
from engine.compute.data import Dataset
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.layers.copies import copied
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, torch_part
from engine.compute.models.sizes import of_model
from engine.compute.numerics.seeds import seed_everything
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.compute.worker.commit import computing, read_data
from engine.errors import OutOfReach, SecateurError
from engine.machine import private
from engine.params import step_of
from engine.params.preset import Latency, Model
from engine.search.reach import TOGETHER
from engine.store.keys import key
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
            found = _Reach(request, data, node, scratch, store.templates)
            rows, bounds = list(found.rows()), found.bounds()
            store.commit(
                node.key,
                folder,
                kind=node.kind,
                material=node.material,
                measures={},
                observations={"rows": rows, "bounds": bounds, "seconds": time.monotonic() - started},
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
        self._searched = {one["name"]: one["fields"] for one in self.node.material["techniques"]}
        self._alone: dict[str, dict[str, Any]] = {}
        yield self._row(AS_IT_IS, "", [], timed=True)
        found = []
        for technique in self.node.material["techniques"]:
            levels = [copy.deepcopy(level) for level in technique["levels"] if level]
            rows = [(level, self._row(technique["name"], "", [level])) for level in levels]
            self._alone |= {
                repr(asked): level
                for asked, (level, row) in zip(filter(None, technique["levels"]), rows, strict=True)
                if "unavailable" not in row
            }
            rows.sort(key=lambda pair: -_amount(pair[1], self.node.material["by"]))
            found.append([level for level, row in rows if "unavailable" not in row])
            for number, (_, row) in enumerate(rows):
                yield row | {"level": _called(number, len(rows))}
        for level in LEVELS if len(found) > 1 or self.latency else ():
            steps = [_called_so(level, levels) for levels in found if levels]
            yield self._row(TOGETHER, level, steps, timed=True)

    def bounds(self) -> list[dict[str, Any]]:
        """Of each number of which the network does not allow as much as is searched, how much it allows."""
        found = []
        for technique in self.node.material["techniques"]:
            most = [self._most(one["step"], tuple(one["field"])) for one in technique["furthest"]]
            pairs = list(zip(technique["furthest"], most, strict=True))
            short = {one["path"] for one, reached in pairs if reached < _at(one["step"], one["field"])}
            found += [
                {"path": one["path"], "at": one["at"], "most": reached}
                for one, reached in pairs
                if one["path"] in short
            ]
        return found

    def _most(self, given: dict[str, Any], field: tuple[str, ...]) -> float:
        """How far the step goes by one of its numbers, as far as it is asked at most."""
        step = self._alone.get(repr(given))
        if step is None:
            step = copy.deepcopy(given)
            try:
                self._applied(step, (), self.network)
            except OutOfReach as error:
                return error.most if error.field == field else _at(given, field)
            except SecateurError:
                return _at(given, field)
        return _at(step, field)

    def _row(
        self, name: str, level: str, steps: Iterable[dict[str, Any]], *, timed: bool = False
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"name": name, "level": level}
        try:
            model = self._changed(steps)
            row |= count(torch_part(model), (self.data.channels, *self.data.size)).measures
            if self.node.material["size"]:
                row["size"] = of_model(model)
            if timed and self.latency is not None:
                row["latency"] = self._timed(model)
        except SecateurError as error:
            return row | {"unavailable": error.title}
        return row

    def _changed(self, steps: Iterable[dict[str, Any]]) -> nn.Module:
        model, before = self.network, list[dict[str, Any]]()
        for given in steps:
            model = self._applied(given, before, model)
            before.append(given)
        return to_device(model, self.device).eval()

    def _applied(
        self,
        given: dict[str, Any],
        before: Sequence[dict[str, Any]],
        model: nn.Module,
        *,
        again: bool = False,
    ) -> nn.Module:
        """The model after a step, behind those `before` it. Where it can't go as far as the
        search would have it go, it goes as far as it can, and `given` says so."""
        step, number = step_of(given), len(before)
        searched = self._searched.get(given.get("id", given["kind"]), [])
        seed_everything(self.seed, "step", number)
        # What it measures counts again however far it goes, and for no other step or network.
        partial = self.scratch / key([*before, _without(given, searched)])
        context = Context(
            self.data, self.device, self.seed, number, self.node.key, partial, lambda event: None
        )
        try:
            return apply(step, copied(model), context)
        except OutOfReach as error:
            # A latency that was measured may be missed by chance when it is measured again.
            nothing = error.most <= (0.0 if error.field in (("ratio",), ("count",)) else 1.0)
            if again or nothing or list(error.field) not in searched:
                raise
            _put(given, error.field, error.most)
            return self._applied(given, before, model, again=error.field[0] == "latency")

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


def _at(step: dict[str, Any], field: Sequence[str]) -> float:
    """A number of a step as plain values."""
    for name in field[:-1]:
        step = step[name]
    return float(step[field[-1]])


def _put(step: dict[str, Any], field: Sequence[str], value: float) -> None:
    for name in field[:-1]:
        step = step[name]
    step[field[-1]] = value


def _without(step: dict[str, Any], fields: Iterable[Sequence[str]]) -> dict[str, Any]:
    """A step without some of its numbers.

    >>> _without({"kind": "x", "latency": {"speedup": 2, "batch": 1}}, [["latency", "speedup"]])
    {'kind': 'x', 'latency': {'batch': 1}}
    """
    left = copy.deepcopy(step)
    for *groups, name in fields:
        within = left
        for group in groups:
            within = within.get(group, {})
        within.pop(name, None)
    return left


def _amount(row: dict[str, Any], name: str) -> float:
    """How much a row has of a measure of counts or sizes; nothing where it could not be had."""
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _called(number: int, count_: int) -> str:
    """What the levels of a technique are called, of however many there are: the last one compresses most."""
    return LEVELS[-1] if number == count_ - 1 else LEVELS[min(number, 1)]


def _called_so(level: str, levels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of the levels of a technique, which are in the order of `_called`.

    >>> [_called_so(level, [{"bits": bits} for bits in (8, 7, 6, 5, 4)])["bits"] for level in LEVELS]
    [8, 6, 4]
    """
    return levels[{"least": 0, "middle": len(levels) // 2, "most": -1}[level]]
