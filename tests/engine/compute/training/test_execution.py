"""How updates run: what can't be had is refused before a study begins, what can computes what eager execution does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.machine.runtimes import missing
from engine.params.training import Train
from tests.engine.compute.compute_help import context_for
from tests.study_lab import Lab


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.norm(self.conv(images))).mean((2, 3)))


def small() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.mark.long
@pytest.mark.skipif(bool(missing("torch-compile", "cpu")), reason=missing("torch-compile", "cpu"))
def test_compiled_updates_are_those_of_eager_execution_and_repeat() -> None:
    eager, one, two = (
        fit(small(), Train(epochs=1, batch=100, execution=how), context_for()).state_dict()  # type: ignore[arg-type]
        for how in ("eager", "compile", "compile")
    )
    for name, tensor in eager.items():
        assert torch.equal(one[name], two[name]), name
        assert torch.allclose(tensor.double(), one[name].double(), atol=1e-4), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.execution=graphs", "execution: graphs is for GPUs"),
        ("train.precision=tf32", "precision: tf32 is for GPUs"),
        ("train.batch=3", "a batch of 3 is too small for 2 processes"),
        ("train.execution=compile", "execution: compile is for one process"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_starts(tmp_path: Path, change: str, said: str) -> None:
    lab = Lab(tmp_path)
    processes = 2 if "processes" in said or "one process" in said else 1
    done = lab.call("run", lab.preset(), "--set", change, "--set", f"distributed.processes={processes}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert not (lab.workspace / "studies").exists()


def test_one_process_trains_with_a_batch_of_one(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    found = lab.json(
        "run", lab.preset(), "--set", "train.batch=1", "--set", "train.epochs=1", "--set", "data.limit=40"
    )
    assert found["status"] == "done"


def test_tf32_inside_another_step_is_refused_where_it_trains() -> None:
    with pytest.raises(SecateurError, match="tf32 is for GPUs"):
        fit(small(), Train(epochs=1, precision="tf32"), context_for())
