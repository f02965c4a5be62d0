"""A job computes from the files by which its results are kept, or not at all."""

from pathlib import Path

import pytest
import torch

from engine import datasets
from engine.compute.stopping import Stopping
from engine.compute.worker import steps
from engine.errors import SecateurError
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.store.objects import Store
from engine.studies.job import JobRequest, request
from engine.studies.plan import data_id, make
from engine.studies.rundir import RunDir
from tests.engine.compute.compute_help import small_model

PRESETS = {
    "model": "model: {name: resnet20, arguments: {width: 4}, weights: FILE}\nsteps: [prune.weights]\n",
    "teacher": (
        "model: {name: resnet20, arguments: {width: 2}}\nsteps:\n  - distill:\n      teacher: "
        "{kind: model, name: resnet20, arguments: {width: 4}, weights: FILE}\n"
    ),
}


@pytest.mark.parametrize("whose", PRESETS)
def test_weights_that_were_written_anew_are_not_those_of_the_study(whose: str, tmp_path: Path) -> None:
    """A training beside it may still write to its best.pth."""
    file = tmp_path / "best.pth"
    torch.save(small_model(depth=20, width=4).state_dict(), file)
    head = "seed: 0\nthreads: 1\ndevice: cpu\ndata: {name: digits, limit: 40}\n"
    read = spec.parse(head + PRESETS[whose].replace("FILE", f'"{file}"'), "p")
    data = read.settings.data
    known = datasets.fingerprint(data, datasets.locate(data, tmp_path), None)
    assert known is not None
    planned = make(read, {data_id(trial): known for trial in read.trials}, machine(read.settings))
    store = Store(tmp_path / "store")
    job = next(job for job in planned.jobs if any(node.kind in ("model", "teacher") for node in job.nodes))
    wanted = request(job, planned, RunDir.of(tmp_path, "p-1"), store, None)
    torch.save(small_model(depth=20, width=4, seed=1).state_dict(), file)
    with pytest.raises(SecateurError, match=r"The weights .*best\.pth were changed since the study began"):
        steps.run(JobRequest.from_json(wanted.to_json()), lambda event: None, Stopping())
    assert all(store.get(node.key) is None for node in job.nodes)
