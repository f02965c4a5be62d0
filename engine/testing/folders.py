"""Study folders as the engine writes them, without an engine: for tests and for `benchmarks/tui.py`.

`Study` emits real events through the real event log, so that views see exactly what they would see live.
"""

import itertools
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.machine.process import process_identity
from engine.presets import spec
from engine.results import pick
from engine.results.summary import qualities
from engine.store.files import LAYERS, write_json
from engine.store.keys import key
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.settings import to_json
from engine.studies.state import StudyState
from engine.studies.status import Status

PRESET = """\
about: Local against global pruning of a small ResNet on handwritten digits, within a minute
seed: 0
threads: 2
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 12, learning_rate: 0.2, batch: 128}
  - prune.weights: {scope: global, criterion: l1}
  - finetune: {epochs: 2, learning_rate: 0.02}
sweep:
  prune.weights.scope: [local, global]
  prune.weights.sparsity: [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95]
measure:
  size: true
  latency: {runtimes: [torch, onnxruntime], batch: [1], blocks: 3, block_ms: 20, warmup_ms: 50}
plot: {x: prune.weights.sparsity, y: accuracy, by: prune.weights.scope}
"""
SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
ENVIRONMENT = {
    "host": "login1",
    "platform": "Linux-6.1-x86_64",
    "python": "3.11.9",
    "cpu": {"model": "Fabricated CPU @ 2.00GHz", "flags": ["avx2", "avx512_vnni"], "available": 2},
    "packages": {"torch": "2.14.1", "onnxruntime": "1.22.0"},
}


class Study:
    """Writes one study, trial by trial."""

    def __init__(
        self,
        workspace: Path,
        name: str = "quickstart",
        *,
        scopes: tuple[str, ...] = ("local", "global"),
        sparsities: tuple[float, ...] = SPARSITIES,
        preset: str = PRESET,
        replay_of: str | None = None,
    ) -> None:
        request = {"name": name, "replay_of": replay_of}
        settings = to_json(spec.parse(preset, name, stored=True), preset)
        self.run: RunDir = rundir.create(workspace, name, preset, request, settings)
        self.name = name
        self.points = list(itertools.product(scopes, sparsities))
        self.log = EventLog(self.run.events)
        self.state = StudyState(name=self.run.name)
        self.created = time.time()
        self.replay_of = replay_of
        self.beats = 0
        self.identity: tuple[str, int] = (socket.gethostname(), os.getpid())
        self.status("queued")

    def emit(self, event: ev.Event) -> None:
        self.log.append(event)
        self.state.apply(event)

    def status(self, state: str, **changes: Any) -> None:
        """Write `status.json` as the heartbeat would, by this process unless `changes` says otherwise."""
        self.beats += 1
        host, pid = self.identity
        ticks, boot = process_identity(pid)
        values = {
            "preset": self.name,
            "about": "Local against global pruning",
            "model": "resnet20",
            "data": "digits",
            "host": host,
            "pid": pid,
            "start_ticks": ticks,
            "boot_id": boot,
            "heartbeat": self.beats,
            "created": self.created,
            "updated": time.time(),
            "trials": len(self.points),
            "done": self.state.done,
            "untimed": self.state.untimed,
            "failed": self.state.failed,
            "qualities": qualities(self.state),
            "pick": pick.as_json(pick.pick(self.state)),
            "replay_of": self.replay_of,
        }
        self.run.write_status(Status(state, **(values | changes)))  # type: ignore[arg-type]

    def start(self) -> "Study":
        """The study is planned, its baseline trained and measured."""
        self.emit(
            ev.StudyStarted(
                study=self.run.name,
                preset=self.name,
                host="login1",
                pid=self.identity[1],
                environment=ENVIRONMENT,
                replay_of=self.replay_of,
            )
        )
        self.emit(
            ev.Planned(
                trials=[self._planned(i, *p) for i, p in enumerate(self.points)],
                devices={"device": "cpu", "threads": 2},
            )
        )
        self._train(self._key("train"), "train", 12)
        self._measure(self._key("measure", "train"), 0.0, "local")
        self.status("running")
        return self

    def trial(self, index: int) -> None:
        """Everything of one trial."""
        for _ in self.steps_of(index):
            pass

    def steps_of(self, index: int) -> Iterator[None]:
        """Everything of one trial, step by step."""
        scope, sparsity = self.points[index]
        self._step(self._key("prune", scope, sparsity), "prune.weights", sparsity=sparsity)
        yield
        self._train(self._key("finetune", scope, sparsity), "finetune", 2)
        yield
        self._measure(self._key("measure", scope, sparsity), sparsity, scope)
        yield
        self._latency(self._key("latency", scope, sparsity))
        self.status("running")
        yield

    def finish(self, state: str = "done", error: dict[str, str] | None = None) -> "Study":
        """The remaining trials, then the end."""
        for index, trial in enumerate(self.state.trials):
            if trial.status != "done" and state == "done":
                self.trial(index)
        self.emit(ev.StudyFinished(state=state, error=error))  # type: ignore[arg-type]
        self.status(state, error=error)
        self.run.log.write_text("engine: started\nengine: [bold]not markup[/bold]\nengine: done\n")
        return self

    def fail(self, index: int, error: dict[str, str] | None = None) -> None:
        """The trial's fine-tuning ends in an error."""
        error = error or {
            "title": "The worker ran out of memory",
            "detail": "It was ended by the system (signal 9) in finetune [epoch 1].",
            "remedy": "Take a smaller batch: finetune.batch.",
        }
        scope, sparsity = self.points[index]
        self.emit(ev.StepFailed(key=self._key("finetune", scope, sparsity), kind="finetune", error=error))
        self.status("running")

    def _key(self, *parts: object) -> str:
        return key([self.run.name, *map(str, parts)])

    def _planned(self, index: int, scope: str, sparsity: float) -> dict[str, Any]:
        where = scope, sparsity
        return {
            "index": index,
            "parameters": {"prune.weights.scope": scope, "prune.weights.sparsity": sparsity},
            "steps": [
                {"key": self._key("train"), "kind": "train", "address": "train"},
                {"key": self._key("prune", *where), "kind": "prune.weights", "address": "prune.weights"},
                {"key": self._key("finetune", *where), "kind": "finetune", "address": "finetune"},
            ],
            "measure": self._key("measure", *where),
            "latency": self._key("latency", *where),
            "baseline": self._key("train"),
            "baseline_measure": self._key("measure", "train"),
        }

    def _step(self, step: str, kind: str, **measures: Any) -> None:
        self.emit(ev.StepStarted(key=step, kind=kind))
        values = {"validation_accuracy": 0.97, **measures}
        self.emit(
            ev.StepFinished(
                key=step,
                kind=kind,
                reused=False,
                seconds=0.4,
                measures=values,
                observations={"peak_memory": 3e8},
            )
        )

    def _train(self, step: str, kind: str, epochs: int) -> None:
        self.emit(ev.StepStarted(key=step, kind=kind))
        for epoch in range(1, epochs + 1):
            accuracy = 0.985 - 0.6 * math.exp(-epoch / 2)
            self.emit(
                ev.EpochFinished(
                    key=step,
                    epoch=epoch,
                    epochs=epochs,
                    loss=2.3 * math.exp(-epoch / 3),
                    validation_loss=2.4 * math.exp(-epoch / 3.2),
                    measures={"validation_accuracy": accuracy},
                    learning_rate=0.2 * (1 - epoch / epochs),
                    seconds=0.8,
                )
            )
        self.emit(
            ev.StepFinished(
                key=step,
                kind=kind,
                reused=False,
                seconds=0.8 * epochs,
                measures={"validation_accuracy": 0.985, "agreement": 0.99, "sparsity": 0.0},
                observations={"peak_memory": 5e8},
            )
        )

    def _measure(self, step: str, sparsity: float, scope: str) -> None:
        self.emit(ev.StepStarted(key=step, kind="measure"))
        drop = (0.02 if scope == "global" else 0.05) * sparsity**6 * 8 + 0.001 * sparsity
        layers = _layers(sparsity)
        parameters = sum(layer["parameters"] for layer in layers)
        nonzero = sum(layer["nonzero"] for layer in layers)
        macs = sum(layer["macs"] for layer in layers)
        measures = {
            "accuracy": round(0.9833 - drop, 6),
            "loss": 0.05 + drop,
            "agreement": 1 - drop,
            "validation_accuracy": 0.985 - drop,
            "validation_loss": 0.06 + drop,
            "parameters": parameters,
            "nonzero_parameters": nonzero,
            "sparsity": sparsity,
            "macs": macs,
            "effective_macs": round(macs * (1 - sparsity)),
            "size": {
                "plain": parameters * 4,
                "gzip": round(parameters * 3.7 * (1.02 - sparsity)),
                "packed": round(parameters * 4 * min(1, 1.1 - sparsity)),
            },
        }
        folder = self.run.store().folder(step)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LAYERS).write_text(json.dumps(layers))
        write_json(folder / "object.json", {"format": 1, "kind": "measure", "measures": {}, "files": {}})
        self.emit(ev.StepFinished(key=step, kind="measure", reused=False, seconds=0.2, measures=measures))

    def _latency(self, step: str) -> None:
        self.emit(ev.StepStarted(key=step, kind="latency"))
        rows = [
            {
                "runtime": runtime,
                "batch": 1,
                "threads": 2,
                "device": "cpu",
                "cpu": "Fabricated CPU",
                "median_ms": middle,
                "p90_ms": middle * 1.1,
                "calls": 30,
                "baseline_median_ms": middle * 1.01,
                "baseline_p90_ms": middle * 1.1,
                "speedup": 1.01,
                "speedup_low": 0.98,
                "speedup_high": 1.03,
                "peak_memory": 1e8,
            }
            for runtime, middle in (("torch", 3.1), ("onnxruntime", 0.9))
        ]
        self.emit(
            ev.StepFinished(
                key=step, kind="latency", reused=False, seconds=0.6, measures={}, observations={"rows": rows}
            )
        )


def _layers(sparsity: float) -> list[dict[str, Any]]:
    shapes = [("conv1.weight", [16, 1, 3, 3], 64)]
    shapes += [
        (f"layer{stage}.{block}.conv{n}.weight", [16 * 2 ** (stage - 1)] * 2 + [3, 3], 64 // 4 ** (stage - 1))
        for stage in (1, 2, 3)
        for block in (0, 1, 2)
        for n in (1, 2)
    ]
    shapes.append(("linear.weight", [10, 64], 1))
    rows = []
    for name, shape, places in shapes:
        weights = math.prod(shape)
        rows.append(
            {
                "name": name,
                "type": "Linear" if name.startswith("linear") else "Conv2d",
                "shape": shape,
                "parameters": weights,
                "nonzero": round(weights * (1 - sparsity)),
                "sparsity": sparsity,
                "macs": weights * places,
                "effective_macs": round(weights * places * (1 - sparsity)),
            }
        )
    return rows


def finished(workspace: Path, name: str = "quickstart", **options: Any) -> Study:
    """A finished study."""
    return Study(workspace, name, **options).start().finish()


def listed(workspace: Path, count: int, events: int = 0) -> None:
    """Many finished studies for a list: one, and links to its files, each with at least `events` events."""
    first = finished(workspace, "many")
    with first.run.events.open("ab") as file:
        line = ev.to_line(ev.Notice(level="info", text="one of very many events in this study"))
        file.write(line * max(events - first.run.events.read_bytes().count(b"\n"), 0))
    status = first.run.read_status()
    for number in range(2, count + 1):
        run = RunDir.of(workspace, f"many-{number}")
        run.path.mkdir()
        os.link(first.run.preset, run.preset)
        os.link(first.run.events, run.events)
        run.write_status(Status(**(vars(status) | {"created": status.created - number * 60})))


SCAN = """\
about: What each layer of a small ResNet can lose
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 12, learning_rate: 0.2, batch: 128}
  - sensitivity: {of: weights, rates: [0.3, 0.6, 0.9]}
"""


def scanned(workspace: Path, *, of: tuple[str, ...] = ("weights",)) -> Study:
    """A finished study whose trial measured what each layer can lose, the later ones less."""
    study = Study(workspace, "scan", scopes=("global",), sparsities=(0.0,), preset=SCAN)
    scans = [(name, study._key("sensitivity", name)) for name in of]
    (trial,) = [study._planned(0, "global", 0.0)]
    addresses = ["sensitivity"] if len(of) == 1 else list(of)
    steps = [
        {"key": key_, "kind": "sensitivity", "address": address}
        for address, (_, key_) in zip(addresses, scans, strict=True)
    ]
    trial |= {"parameters": {}, "steps": [trial["steps"][0], *steps], "latency": None}
    trial |= {"measure": study._key("measure"), "baseline_measure": study._key("measure")}
    study.emit(
        ev.StudyStarted(study=study.run.name, preset="scan", host="login1", pid=1, environment=ENVIRONMENT)
    )
    study.emit(ev.Planned(trials=[trial], devices={"device": "cpu", "threads": 2}))
    study._train(study._key("train"), "train", 12)
    for name, key_ in scans:
        study._step(key_, "sensitivity", sensitivity=_scan(name))
    study._measure(study._key("measure"), 0.0, "global")
    return study.finish()


def _scan(of: str) -> dict[str, Any]:
    names = [row["name"].removesuffix(".weight") for row in _layers(0.0)]
    names = names if of == "weights" else names[::2]
    rows = [
        {
            "layer": name,
            "rate": rate,
            "validation_accuracy": round(0.985 - 0.004 * place * rate**3, 6),
            "validation_loss": 0.06 + 0.02 * place * rate**3,
            "parameters": 290_000,
            "macs": 4_000_000,
            "loss_increase": 0.02 * place * rate**3,
        }
        for place, name in enumerate(names)
        for rate in (0.3, 0.6, 0.9)
    ]
    reference = {
        "validation_accuracy": 0.985,
        "validation_loss": 0.06,
        "parameters": 291_000,
        "macs": 4_100_000,
    }
    return {"of": of, "criterion": "l1", "reference": reference, "rows": rows}
