"""Several processes that train one network: as one process would, resumable, and none waits for a dead one.

On processors, by gloo; GPUs run the same code with NCCL.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

from engine.compute.latency import forks
from engine.compute.models.tensors import saved
from engine.compute.numerics.group import Group
from engine.compute.stopping import Stopped
from engine.compute.training import loop
from engine.compute.worker.setup import settle
from engine.compute.worker.together import join
from engine.params.training import Train
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for
from tests.study_lab import PRESET, Lab, wait_for

PARAMS = {"epochs": 2, "batch": 64, "learning_rate": 0.05, "augment": "crop-flip", "keep": "best"}


def member(rank: int, folder: Path, batch_norm: Any, stop_after: int) -> None:
    """One of two processes: trains, is asked to stop after some updates if it leads, and leaves its tensors."""
    settle(1)
    store = distributed.FileStore(str(folder / f"meeting-{stop_after}"), 2)
    join(store, rank, 2, "cpu", False)
    context = context_for(partial=folder / "partial")
    context.group = Group(rank, 2, batch_norm)
    update, left = loop._update, [stop_after]

    def counted(*given: Any) -> Tensor:
        left[0] -= 1
        if left[0] == 0 and context.leads:
            context.stopping.ask()
        return update(*given)

    loop._update = counted
    with contextlib.suppress(Stopped, RuntimeError):  # RuntimeError: it has lost its leader
        save(loop.fit(network(), Train(**PARAMS), context), folder / f"{rank}.safetensors")


def network() -> nn.Module:
    """Few layers: a deep one makes much of the last bits in which sums differ by their order."""
    torch.manual_seed(0)
    first = (
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
    )
    return nn.Sequential(*first, nn.Flatten(), nn.Dropout(0.0), nn.Linear(8 * 4 * 4, 10))


def save(model: Any, file: Path) -> None:
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in saved(model).items()}, file)


def together(folder: Path, batch_norm: str, stop_after: int = 0) -> list[dict[str, Tensor]]:
    """What both processes have at the end."""
    folder.mkdir(exist_ok=True)
    started = [forks.start(member, (rank, folder, batch_norm, stop_after)) for rank in range(2)]
    for process in started:
        process.join(120)
        assert process.exitcode is not None
    return [load_file(file) for file in sorted(folder.glob("*.safetensors"))]


def furthest(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


@pytest.fixture(scope="module")
def synchronized(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    return together(tmp_path_factory.mktemp("sync") / "own", "sync")


def test_two_processes_make_the_updates_of_one_with_the_whole_batch(
    synchronized: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    save(loop.fit(network(), Train(**PARAMS), context_for()), tmp_path / "one.safetensors")
    one = load_file(tmp_path / "one.safetensors")
    assert furthest(one, synchronized[0]) < 1e-3, "but for the order of sums"


def test_batch_norm_by_each_process_is_another_training_of_one_network(
    synchronized: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    leader, _ = together(tmp_path / "each", "process")
    assert furthest(leader, synchronized[0]) > 1e-2


def test_a_training_that_was_stopped_goes_on_with_the_same_bits(
    synchronized: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    """In the middle of the first epoch: 5 updates each."""
    folder = tmp_path / "stopped"
    assert together(folder, "sync", stop_after=3) == []
    assert list((folder / "partial").rglob("part-*")), "it is kept in the middle of an epoch"
    again = together(folder, "sync")
    assert furthest(again[0], synchronized[0]) == 0.0


@pytest.mark.long
def test_a_study_has_keys_of_its_own_and_tells_of_a_process_that_ended(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    preset = lab.preset(PRESET.replace("epochs: 2", "epochs: 1000"))
    done = lab.call("run", preset, "--set", "distributed.processes=2", "--detach", "--name", "pair")
    assert done.returncode == 0, done.stderr
    told = wait_for(lambda: [e for e in lab.events("pair") if isinstance(e, ev.EpochFinished)])
    worker = next(e.pid for e in lab.events("pair") if isinstance(e, ev.StepStarted))
    others = [pid for pid in _group(worker) if pid != worker]
    assert len(others) == 1, "the other process is of the worker's group"
    os.kill(others[0], signal.SIGKILL)
    failed = wait_for(lambda: [e for e in lab.events("pair") if isinstance(e, ev.StepFailed)])
    assert failed[0].error["title"] == "One of the processes that train together has ended"
    assert "resume" in failed[0].error["remedy"]
    wait_for(lambda: lab.state("pair").status == "failed")
    assert told and not _group(worker)
    alone = lab.run("train.epochs=1")
    pair = lab.run("train.epochs=1", "distributed.processes=2")
    keys = [
        {step.key for trial in lab.state(name["study"]).trials for step in trial.steps}
        for name in (alone, pair)
    ]
    assert not keys[0] & keys[1]


def _group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, ProcessLookupError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == leader:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] * (state not in "ZX")
    return found
