"""GPUs of all kinds of machines, as their drivers would tell of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.machine import fake_driver
from tests.engine.machine.fake_driver import uuid
from tests.study_lab import HOME

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for a driver of our own")
H100 = "NVIDIA H100 80GB HBM3|81559|9.0"
T4 = "Tesla T4|15360|7.5"
ASK = """
import ctypes, json, sys
from dataclasses import asdict
from engine.errors import SecateurError
from engine.machine import environment, gpu_state, gpus
from engine.machine.value import here
from engine.params.training import Train

def refused(device, processes=1):
    try:
        gpus.check(device, processes)
    except SecateurError as error:
        return error.sentence

def untrained(precision):
    try:
        here(device, 1, 1).check_training(Train(precision=precision), 1)
    except SecateurError as error:
        return error.sentence

device, parallel = sys.argv[1], int(sys.argv[2])
used = gpus.of_device(device)
on = environment.resolve_device(device)
print(json.dumps({
    "gpus": [asdict(gpu) for gpu in used], "why": gpus.found().why, "on": on, "refused": refused(device),
    "together": refused(device, 2),
    "notes": [text for _, text in gpus.notes(device, parallel)], "slots": gpus.slots(used, parallel),
    "numerics": here(device, 1, 1).numerics if on == "cuda" and used else None,
    "untrained": {one: untrained(one) for one in ("fp32", "tf32", "bf16")} if on == "cuda" and used else None,
    "state": gpu_state.read(used[0]) if used else None,
    "begun": bool(used) and ctypes.CDLL("libcuda.so.1").fake_begun(),
}))
"""
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    driver = fake_driver.build(tmp_path_factory.mktemp("driver"))

    def asked(listed: str, device: str = "auto", parallel: int = 1, **variables: str) -> Any:
        environment = fake_driver.environment(driver, listed, **variables)
        done = subprocess.run(
            [sys.executable, "-c", ASK, device, str(parallel)],
            env=environment,
            cwd=HOME,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return asked


def test_trials_are_spread_over_the_gpus_that_are_alike(ask: Ask) -> None:
    found = ask(f"{H100}|1\n{T4}|2\n{H100}|3", parallel=3)
    assert found["on"] == "cuda"
    assert [gpu["visible"] for gpu in found["gpus"]] == [uuid(1), uuid(3)]
    assert found["gpus"][0] | {"visible": ""} == {
        "visible": "",
        "name": "NVIDIA H100 80GB HBM3",
        "memory": 81559 << 20,
        "capability": "9.0",
        "bus": "0000:01:00.0",
    }
    assert found["slots"] == [[uuid(1)], [uuid(3)], [uuid(1)]]
    unlike, shared = found["notes"]
    assert "other bits" in unlike and "Tesla T4" in unlike
    assert "3 trials at a time share 2 GPUs" in shared
    assert found["together"] is None
    assert found["numerics"]["machine"]["gpu"] == "NVIDIA H100 80GB HBM3"
    assert found["numerics"]["variables"]["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_who_has_asked_can_still_be_given_one_of_them(ask: Ask) -> None:
    """The driver looks once for what it may show, when it is first called."""
    found = ask(f"{H100}|1\n{H100}|2")
    assert len(found["gpus"]) == 2 and not found["begun"]


def test_one_gpu_can_be_chosen_by_its_number_and_the_key_has_its_name(ask: Ask) -> None:
    found = ask(f"{H100}|1\n{T4}|2", "cuda:1")
    assert [gpu["name"] for gpu in found["gpus"]] == ["Tesla T4"]
    assert (found["on"], found["numerics"]["device"]) == ("cuda", "cuda"), "keys know no number"
    assert found["numerics"]["machine"]["gpu"] == "Tesla T4"
    assert found["untrained"]["fp32"] is None
    assert all("the GPU has no" in found["untrained"][name] for name in ("tf32", "bf16"))
    missing = ask(f"{H100}|1\n{T4}|2", "cuda:2")
    assert "there are 2 GPUs here" in missing["refused"] and "cuda:1 (Tesla T4)" in missing["refused"]


def test_workers_get_the_names_that_the_variable_had(ask: Ask) -> None:
    found = ask(f"{H100}|3\n{H100}|1", parallel=2, CUDA_VISIBLE_DEVICES="2, 0")
    assert found["slots"] == [["2"], ["0"]]
    several = ask(f"{H100}|3\n{H100}|1", parallel=2, CUDA_VISIBLE_DEVICES=f"{uuid(3)},{uuid(1)}")
    assert several["slots"] == [[uuid(3)], [uuid(1)]]
    cut = ask(f"{H100}|3", CUDA_VISIBLE_DEVICES="2,-1,0")  # CUDA's list ends at the first that is none
    assert cut["slots"] == [[uuid(3)]]


def test_what_slurm_gave_holds_where_nothing_else_leaves_the_others_out(ask: Ask) -> None:
    """CUDA's order is not that of the PCI bus, in which Slurm counts."""
    every = f"{H100}|9\n{H100}|1\n{H100}|5"
    assert ask(every, parallel=2, SLURM_JOB_GPUS="0,2", SLURM_JOB_ID="7")["slots"] == [[uuid(1)], [uuid(9)]]
    assert ask(every, SLURM_JOB_GPUS="0-2", SLURM_STEP_GPUS="1", SLURM_JOB_ID="7")["slots"] == [[uuid(5)]]
    within = ask(
        f"{H100}|5", SLURM_JOB_GPUS="2", SLURM_JOB_ID="7"
    )  # control groups have left one, numbered anew
    assert within["slots"] == [[uuid(5)]]
    both = ask(f"{H100}|5", SLURM_JOB_GPUS="2", CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="7")
    assert both["slots"] == [["0"]]


def test_every_mig_instance_is_found_though_cuda_shows_one(ask: Ask) -> None:
    listed = (
        "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aa)\n"
        "  MIG 3g.40gb     Device  0: (UUID: MIG-11)\n  MIG 3g.40gb     Device  1: (UUID: MIG-22)\n"
        "  MIG 1g.10gb     Device  2: (UUID: MIG-33)\n"
    )
    one = "NVIDIA H100 80GB HBM3 MIG 3g.40gb|40000|9.0|1"
    found = ask(one, parallel=2, FAKE_SMI_LIST=listed)
    assert found["slots"] == [["MIG-11"], ["MIG-22"]]
    assert "MIG 1g.10gb" in found["notes"][0]
    given = ask(one, parallel=2, FAKE_SMI_LIST=listed, CUDA_VISIBLE_DEVICES="MIG-22,MIG-33")
    assert given["slots"] == [["MIG-22"], ["MIG-22"]]
    assert found["state"] == {}, "an instance has no clocks of its own"
    assert "can't train together on MIG instances" in found["together"] and "NCCL" in found["together"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FAKE_CUDA": "803"}, "different versions"),
        ({"FAKE_CUDA": "999"}, "nvidia-uvm"),
        ({"FAKE_CUDA": "100", "CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES is ''"),
        ({"FAKE_CUDA": "7777"}, "error 7777"),
        ({"LD_LIBRARY_PATH": ""}, "driver is not installed"),
    ],
)
def test_why_there_is_no_gpu_is_said_and_nothing_falls_back_in_silence(
    ask: Ask, variables: dict[str, str], said: str
) -> None:
    found = ask("", "cuda", **variables)
    assert "no GPU can be used here" in found["refused"] and said in found["refused"]
    given = ask("", "auto", SLURM_JOB_GPUS="0", SLURM_JOB_ID="7", **variables)
    assert (given["on"], given["refused"]) == ("cpu", None)
    assert said in given["notes"][0] and "computes on the processor" in given["notes"][0]


def test_clocks_are_read_and_what_holds_them_down_is_said(ask: Ask) -> None:
    state = ask(f"{H100}|1")["state"]
    assert (state["sm_mhz"], state["sm_max_mhz"], state["driver"]) == (1755.0, 1980.0, "580.65.06")
    assert state["held_by"] == ["power limit", "heat"], (
        "by the older name of the field, where the newer is not known"
    )


def test_a_preset_for_a_gpu_that_is_not_here_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text("device: cuda\nmodel: {name: resnet20}\ndata: {name: digits}\nsteps: [train]\n")
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "run", preset, "--workspace", tmp_path / "w"],
        env=fake_driver.environment({}, "") | {"PYTHONPATH": str(HOME), "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "device: cuda was asked for" in done.stderr and "executor.slurm.gpus" in done.stderr
    assert not (tmp_path / "w" / "studies").exists()
