"""What a worker does with a step: from its parent to what lies in the store."""

from pathlib import Path

from engine import datasets
from engine.compute.stopping import Stopping
from engine.compute.worker import steps
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies.job import request
from engine.studies.plan import data_id, make
from engine.studies.rundir import RunDir

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 2}}
data: {name: digits, limit: 40}
steps: [train: {epochs: 2}]
"""


def test_while_a_step_computes_nothing_of_it_is_in_a_temporary_folder(tmp_path: Path) -> None:
    """After a week it would be swept as a killed process's, and some trainings take longer."""
    read, store = spec.parse(PRESET, "p"), Store(tmp_path / "store")
    known = datasets.fingerprint(read.settings.data, datasets.locate(read.settings.data, tmp_path), None)
    planned = make(read, {data_id(read.trials[0]): str(known)}, machine(read.settings))
    lying: list[list[Path]] = []

    def send(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished):
            lying.append([*(store.root / "tmp").glob("*")])

    for job in planned.jobs:
        steps.run(request(job, planned, RunDir.of(tmp_path, "p-1"), store, None), send, Stopping())
    assert lying == [[], []]
    assert all(store.get(key) is not None for key in planned.nodes)
