"""What a study's check-up is to try: which names are of the network as it is built."""

from pathlib import Path

import pytest

from engine import datasets
from engine.params import STEPS
from engine.params.preset import Data
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.studies import checkup
from engine.studies.plan import data_id, make, sources_of

PRESET = """\
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps:
  - prune.weights: {sparsity: 0.5, skip: [layer1.*]}
  - factorize: {}
  - quantize.static: {skip: [linear.0]}
"""


def test_names_that_an_earlier_step_may_make_are_left_to_their_step(tmp_path: Path) -> None:
    """What layers are called once `factorize` has split them, only its end tells."""
    read = spec.parse(PRESET, "p")
    data = Data(name="digits", limit=100)
    fingerprint = datasets.fingerprint(data, datasets.locate(data, tmp_path), tmp_path / "fingerprints")
    assert fingerprint is not None
    on = machine(read.settings)
    plan = make(read, {data_id(trial): fingerprint for trial in read.trials}, on)
    (job,) = checkup.jobs(plan, on, sources_of(read, tmp_path))
    named = [node.material["layers"] for node in job.nodes]
    assert named == [[["prune.weights", "skip", ["layer1.*"]]]]


@pytest.mark.parametrize(
    ("step", "onnx"),
    [("quantize.weights", ""), ("quantize.static", "must"), ("quantize.qat: {epochs: 1}", "trained")],
)
def test_what_becomes_of_the_exported_file_is_told(step: str, onnx: str) -> None:
    read = spec.parse(f"{PRESET.partition('steps:')[0]}steps:\n  - train\n  - {step}\n", "p")
    on = machine(read.settings)
    plan = make(read, {data_id(trial): "any" for trial in read.trials}, on)
    (job,) = checkup.jobs(plan, on, sources_of(read, Path.cwd()))
    assert [node.material["onnx"] for node in job.nodes] == [onnx]


def test_what_a_step_asks_of_layers_is_noted_with_what_changed_them() -> None:
    """Behind channels that go by trained weights, an example alone tells what is left, and nothing behind those that go
    by measured times; but feature maps do not come back."""
    steps = """\
  - {train: {epochs: 3}}
  - prune.weights: {pattern: "2:4"}
  - prune.channels: {speedup: 3, repair: false}
  - prune.blocks: {enabled: false}
  - cluster.kernels: {entries: 8}
  - distill: {method: attention, epochs: 2}
  - prune.channels: {id: timed, latency: {speedup: 2}}
  - cluster.filters: {id: merged}
"""
    read = spec.parse(f"{PRESET.partition('steps:')[0]}steps:\n{steps}", "p")
    on = machine(read.settings)
    plan = make(read, {data_id(trial): "any" for trial in read.trials}, on)
    (job,) = checkup.jobs(plan, on, sources_of(read, Path.cwd()))
    (node,) = job.nodes
    went = {"kind": "prune.channels", "speedup": 3.0, "repair": False, "calibrate": False}
    assert node.material["fits"] == [
        [[], True, "prune.weights", {"pattern": "2:4"}],
        [[], True, "prune.channels", {"speedup": 3.0}],
        [[went], False, "cluster.kernels", {"entries": 8}],
        [[], True, "distill", {"method": {"kind": "attention"}}],
        [[went], False, "prune.channels", {"id": "timed", "latency": {"speedup": 2.0}}],
    ]


def test_what_goes_whatever_weights_are_surely_leaves_what_it_leaves() -> None:
    steps = """\
  - prune.channels: {scope: local, ratio: 0.3}
  - factorize: {scheme: spatial}
  - cluster.filters
  - prune.blocks
"""
    read = spec.parse(f"{PRESET.partition('steps:')[0]}steps:\n{steps}", "p")
    on = machine(read.settings)
    plan = make(read, {data_id(trial): "any" for trial in read.trials}, on)
    (job,) = checkup.jobs(plan, on, sources_of(read, Path.cwd()))
    (node,) = job.nodes
    fits = [([one["kind"] for one in before], sure, kind) for before, sure, kind, _ in node.material["fits"]]
    assert fits[2:] == [
        (["prune.channels", "factorize"], True, "cluster.filters"),
        (["prune.channels", "factorize", "cluster.filters"], True, "prune.blocks"),
    ]


@pytest.mark.parametrize("kind", [kind for kind, cls in STEPS.items() if cls.makes is not None])
def test_what_is_laid_over_weights_leaves_layers_as_they_were(kind: str) -> None:
    """So what a later step asks of them is found out before anything is trained."""
    steps = f"  - {kind}: {{skip: [conv1]}}\n  - prune.channels: {{speedup: 3, repair: false}}\n"
    read = spec.parse(f"{PRESET.partition('steps:')[0]}steps:\n{steps}", "p")
    on = machine(read.settings)
    plan = make(read, {data_id(trial): "any" for trial in read.trials}, on)
    (job,) = checkup.jobs(plan, on, sources_of(read, Path.cwd()))
    (node,) = job.nodes
    assert [[], True, "prune.channels", {"speedup": 3.0}] in node.material["fits"]


def test_what_rules_out_a_named_layer_is_noted_until_layers_are_called_otherwise() -> None:
    """A layer that shares its weight still does when it has fewer channels."""
    steps = """\
  - prune.channels: {speedup: 3, repair: false}
  - prune.weights: {layers: {conv1: 0.5}}
  - factorize: {layers: {layer1.0.conv1: 0.5}}
  - quantize.weights: {layers: {conv1: 4}}
"""
    read = spec.parse(f"{PRESET.partition('steps:')[0]}steps:\n{steps}", "p")
    on = machine(read.settings)
    (job,) = checkup.jobs(
        make(read, {data_id(trial): "any" for trial in read.trials}, on), on, sources_of(read, Path.cwd())
    )
    (node,) = job.nodes
    assert node.material["fits"][1:3] == [
        [[], True, "prune.weights", {"layers": {"conv1": 0.5}}],
        [[], True, "factorize", {"layers": {"layer1.0.conv1": 0.5}}],
    ]
    before, sure, kind, _ = node.material["fits"][3]
    assert [one["kind"] for one in before] == ["prune.channels", "factorize"]
    assert kind == "quantize.weights" and not sure
