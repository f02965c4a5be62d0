"""Every preset that comes with secateur, run end to end: its quick version, made smaller, and the quickstart as it is.

All in one workspace, as a user would, so that what two of them have in common is computed once.
"""

import os

import pytest

from engine.presets import shipped, spec
from tests.study_lab import Lab

TIMEOUT_S = 600.0
"""Many times what a quick preset needs where nothing else runs."""
AS_IT_IS = "quickstart"
"""Quick enough to be run whole."""
BESIDE = "--beside"
"""Those that other test processes run are not waited for."""
IMAGES = 300
"""Of the digits, which are six times as many."""
FEWER_IMAGES = (
    "model.name=resnet8",
    "train.epochs=1",
    "finetune.epochs=1",
    "data.limit=400",
    "sweep.prune.weights.sparsity=[0.9]",
)
"""For where lesser instructions take several times as long (tests/test_processors.py)."""


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
    """What makes a quick preset smaller still: fewer images where it takes all, a third of the layers."""
    changes = [] if read.settings.data.limit else [f"data.limit={IMAGES}"]
    if read.settings.model.name == "resnet20":
        changes.append("sweep.model.name=[resnet8]" if "model.name" in read.axes else "model.name=resnet8")
    return [word for change in changes for word in ("--set", change)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in shipped.shipped()])
def test_the_preset_runs_to_its_end(name: str, lab: Lab) -> None:
    quick = name != AS_IT_IS
    path = shipped.find(name)
    read = spec.read(path, quick=quick)
    found = lab.json("run", str(path), BESIDE, *(["--quick", *smaller(read)] if quick else []))
    assert found["status"] == "done"
    assert {trial["status"] for trial in found["trials"]} == {"done"}
    if read.settings.search is None:
        assert len(found["trials"]) == len(read.trials)
    else:  # its trials are not known before; the answer is one of them
        assert any(trial["index"] == found["pick"]["index"] for trial in found["trials"])


def test_the_quickstart_on_fewer_images_runs_to_its_end(lab: Lab) -> None:
    options = [word for change in FEWER_IMAGES for word in ("--set", change)]
    found = lab.json("run", str(shipped.find(AS_IT_IS)), BESIDE, *options)
    assert [trial["status"] for trial in found["trials"]] == ["done"] * 2
