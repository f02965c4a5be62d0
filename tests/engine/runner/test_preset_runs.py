"""Every preset that comes with secateur, run end to end: its quick version if it has one, made smaller.

All in one workspace, as a user would, so that what two of them have in common is computed once.
"""

import os

import pytest

from engine.params.training import Training
from engine.presets import shipped, spec
from tests.study_lab import Lab

TIMEOUT_S = 600.0
"""Many times what a quick preset needs where nothing else runs."""
BESIDE = "--beside"
"""Those that other test processes run are not waited for."""
IMAGES = 300
"""Of the digits, which are six times as many."""
SIZE = 32
"""Of images, in pixels a side: as deep as its networks halve them."""
MOMENT_MS = 5
"""Of each block of a latency, and before the first."""
EPOCHS = 2
"""Of each training."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the processes of one run of the tests share it
        base = base.parent
    folder = base / "presets"
    folder.mkdir(exist_ok=True)
    lab = Lab(folder, TIMEOUT_S, locks=tmp_path_factory.mktemp("locks"))
    lab.share_templates()
    return lab


def smaller(read: spec.Spec) -> list[str]:
    """What makes a preset smaller still: fewer images and epochs, a third of the layers, one of the numbers swept.

    Where an ONNX file is written for one runtime's latency alone, it is measured in torch: how each kind of network is
    exported, other tests tell, and that takes longer than all its steps.
    """
    changes = [] if read.settings.data.limit else [f"data.limit={IMAGES}"]
    if read.settings.data.size and read.settings.data.size > SIZE:
        changes.append(f"data.size={SIZE}")
    long = [step for step in read.steps if isinstance(step, Training) and step.epochs > EPOCHS]
    changes += [f"{step.address}.epochs={EPOCHS}" for step in long]
    if read.settings.model.name == "resnet20":
        changes.append("sweep.model.name=[resnet8]" if "model.name" in read.axes else "model.name=resnet8")
    for path, values in read.axes.items():
        by_itself = path in read.document["sweep"]  # those below `zip` vary together
        if by_itself and all(type(value) in (int, float) for value in values):
            changes.append(f"sweep.{path}=[{values[-1]}]")
    latency, steps = read.settings.measure.latency, [step for trial in read.trials for step in trial.steps]
    needed = read.space or any(step.timed_in or "onnxruntime" in step.packages for step in steps)
    if latency:
        changes += [f"measure.latency.{time}_ms={MOMENT_MS}" for time in ("block", "warmup")]
        if latency.runtimes == ("onnxruntime",) and not needed:
            changes.append("measure.latency.runtimes=[torch]")
    return changes


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in shipped.shipped()])
def test_the_preset_runs_to_its_end(name: str, lab: Lab) -> None:
    path = shipped.find(name)
    quick = spec.read(path).quick is not None
    changes = smaller(spec.read(path, quick=quick))
    options = [*(["--quick"] if quick else []), *(word for change in changes for word in ("--set", change))]
    read = spec.read(path, changes, quick=quick)
    found = lab.json("run", str(path), BESIDE, *options)
    assert found["status"] == "done"
    assert {trial["status"] for trial in found["trials"]} == {"done"}
    if read.settings.search is None:
        assert len(found["trials"]) == len(read.trials)
    else:  # its trials are not known before; the answer is one of them
        assert any(trial["index"] == found["pick"]["index"] for trial in found["trials"])
