"""A study that prunes to a measured latency, and its replay, through the command line."""

import json

import pytest

from engine.results.latency_targets import MEASURE, TOLERATED
from tests.study_lab import Lab

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 8}}
data: {name: digits, limit: 200}
steps:
  - train: {epochs: 1, batch: 32}
  - prune.channels: {scope: cost, criterion: l1, round_to: auto, latency: {speedup: 1.05}}
  - finetune: {epochs: 1, batch: 32}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.mark.long
def test_a_replay_of_a_latency_driven_study_is_identical_though_times_never_repeat(lab: Lab) -> None:
    lab.run(preset=lab.preset(PRESET))
    (step,) = [node for node in lab.state("p-1").trials[0].steps if node.kind == "prune.channels"]
    recorded = json.loads((lab.study("p-1").store().folder(step.key) / "measurements.json").read_text())
    for order in ("whole model", "whole model, by importance alone"):
        assert any(name.startswith(f"{order}, ") and "removals" in name for name in recorded)
    assert "layers" in recorded
    target = step.measures[MEASURE]
    assert (target["asked"], target["runtime"], target["threads"]) == (1.05, "onnxruntime", 1)
    assert target["measured"] >= 1.05 * (1 - TOLERATED)
    again = lab.json("replay", "p-1")
    assert again["verdict"]["identical"], again["verdict"]
    found = lab.call("show", again["study"]).stdout
    assert "1 step decided by measured times" in found
