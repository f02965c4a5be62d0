"""Names of layers in `skip` are checked as soon as the network is built, before anything is trained."""

from pathlib import Path

import pytest

from engine import datasets
from engine.compute.worker import steps
from engine.errors import SecateurError
from engine.params.preset import Data
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.studies.events import EpochFinished, Event
from engine.studies.job import JobRequest, request
from engine.studies.plan import data_id, make

PRESET = """\
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps:
  - train: {epochs: 1, batch: 32}
  - prune.weights: {sparsity: 0.5}
  - factorize: {}
  - quantize.static: {skip: [linear.0]}
sweep:
  prune.weights.skip: [[], [layer1.*, Linear], [SKIPPED]]
"""


def first_job(workspace: Path, skipped: str) -> JobRequest:
    read = spec.parse(PRESET.replace("SKIPPED", skipped), "p")
    data = Data(name="digits", limit=100)
    fingerprint = datasets.fingerprint(data, datasets.locate(data, workspace), workspace / "fingerprints")
    assert fingerprint is not None
    plan = make(read, {data_id(trial): fingerprint for trial in read.trials}, machine(read.settings))
    return JobRequest.from_json(
        request(plan.jobs[0], plan, str(workspace), str(workspace / "store"), None).to_json()
    )


def test_a_name_that_the_network_lacks_is_told_before_it_is_trained(tmp_path: Path) -> None:
    told: list[Event] = []
    with pytest.raises(SecateurError, match=r"prune\.weights\.skip names no layer: layer9") as error:
        steps.run(first_job(tmp_path, "layer9.*"), told.append)
    assert "layer3.2.conv2" in error.value.detail
    assert not any(isinstance(event, EpochFinished) for event in told)


def test_names_that_an_earlier_step_may_make_are_left_to_their_step(tmp_path: Path) -> None:
    job = first_job(tmp_path, "conv1")
    assert [step for step, _ in job.skips] == ["prune.weights", "prune.weights"]
    told: list[Event] = []
    steps.run(job, told.append)
    assert any(isinstance(event, EpochFinished) for event in told)
