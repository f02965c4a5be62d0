"""Studies from the command line to their results, in real processes, on real data."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.studies import events as ev
from engine.studies.rundir import RunDir
from tests import pseudo_terminal, study_lab
from tests.study_lab import LATENCY, PRESET, Lab, processes_of, wait_for

MINE = """\
import os, signal
import numpy as np
import torch
from torch import nn

class Net(nn.Sequential):
    trained = 0

    def forward(self, x):
        self.trained += self.training
        if self.fate == "bad" and self.trained == 5:
            raise KeyError("no such thing")
        if self.trained == 5 and (self.fate == "killed" or self.fate == "killed once" and not os.path.exists("once")):
            open("once", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)

def net(channels, classes, fate="good"):
    made = Net(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, classes))
    made.fate = fate
    return made

def images():
    print("a word on stdout")
    drawn = np.random.default_rng(0)
    return {"train": (drawn.random((60, 1, 8, 8), dtype=np.float32), np.arange(60) % 3),
            "test": (drawn.random((20, 1, 8, 8), dtype=np.float32), np.arange(20) % 3)}
"""
NUMBERS = {
    "accuracy": float,
    "validation_accuracy": float,
    "agreement": float,
    "loss": float,
    "parameters": int,
    "nonzero_parameters": int,
    "sparsity": float,
    "macs": int,
}
ROW = {
    "runtime": str,
    "batch": int,
    "threads": int,
    "median_ms": float,
    "p90_ms": float,
    "baseline_median_ms": float,
    "speedup": float,
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def first(lab: Lab) -> Any:
    """The first study of the workspace: everything in it is computed."""
    return lab.run(LATENCY)


def test_json_has_what_programs_rely_on(first: Any) -> None:
    assert (first["study"], first["status"], len(first["trials"])) == ("p-1", "done", 2)
    assert {"host", "packages", "cpu", "device", "threads"} <= first["environment"].keys()
    for index, (trial, sparsity) in enumerate(zip(first["trials"], (0.5, 0.9), strict=True)):
        assert (trial["index"], trial["status"]) == (index, "done")
        assert trial["parameters"] == {"prune.weights.sparsity": sparsity}
        for results in (trial["results"], first["baseline"]["results"]):
            assert {name: type(results[name]) for name in NUMBERS} == NUMBERS
            assert {name: type(size) for name, size in results["size"].items()} == dict.fromkeys(
                ("plain", "gzip", "packed"), int
            )
        (row,) = trial["results"]["latency"]
        assert {name: type(row[name]) for name in ROW} == ROW
        assert trial["results"]["sparsity"] == pytest.approx(sparsity, abs=0.01)
    assert first["baseline"]["results"]["sparsity"] == 0.0
    assert first["baseline"]["results"]["agreement"] == 1.0


def test_a_second_run_computes_nothing_and_gives_the_same(
    lab: Lab, first: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes that have no torch: for results that are all there it is not imported, which takes seconds."""
    (tmp_path / "torch.py").write_text("raise AssertionError('torch is imported')")
    monkeypatch.setattr(study_lab, "HOME", f"{tmp_path}{os.pathsep}{study_lab.HOME}")
    again = replace(lab, warm=False).run(LATENCY)
    assert lab.computed(again["study"]) == []
    assert again["trials"] == first["trials"]


def test_an_edit_of_the_last_step_reuses_all_before_it_and_a_new_seed_nothing(lab: Lab, first: Any) -> None:
    edited = lab.run("finetune.learning_rate=0.001", "seed=[0, 1]")
    state = lab.state(edited["study"])
    reused = [[step.reused for step in trial.steps] for trial in state.trials]
    assert reused == [[True, True, False]] * 2 + [[False, False, False]] * 2
    assert [trial["parameters"]["seed"] for trial in edited["trials"]] == [0, 0, 1, 1]
    assert len(edited["baselines"]) == 2


def test_two_at_a_time_cancelled_and_resumed_give_the_same_bits(lab: Lab, first: Any, tmp_path: Path) -> None:
    other = Lab(tmp_path)
    text = PRESET + "executor: {local: {parallel: 2}}\n"
    name = other.json("run", other.preset(text), "--detach")["study"]
    wait_for(lambda: other.computed(name))
    # As `cancel` does, at once: by the time that a command has started, so small a study may have come to its end.
    run = RunDir.of(other.workspace, name)
    run.stop.touch()
    wait_for(lambda: not processes_of(other.workspace))
    assert run.read_status().state == "cancelled"
    computed = set(other.computed(name))
    resumed = other.json("resume", name)
    assert resumed["status"] == "done"
    assert not computed & set(other.computed(name)[len(computed) :]), "nothing finished is computed again"
    wait_for(lambda: not processes_of(other.workspace))
    mine, theirs = other.objects(), lab.objects()
    assert {key: theirs[key] for key in mine} == mine


def test_a_replay_is_identical_and_a_tampered_original_is_told(lab: Lab, first: Any) -> None:
    done = lab.call("replay", "p-1")
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout
    step = lab.state("p-1").trials[1].steps[-1].key
    weights = lab.workspace / "store" / "objects" / step[:2] / step / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        again = lab.call("resume", "p-1-replay-1")
    finally:
        weights.write_bytes(kept)
    assert again.returncode == 3
    assert "DIFFERENT in 1 of" in again.stdout
    assert "trial 1 finetune model.safetensors" in again.stdout


def test_own_model_and_data_and_what_fails_fails_alone(lab: Lab, tmp_path: Path) -> None:
    (lab.folder / "mine.py").write_text(MINE)
    text = """\
seed: 0
threads: 1
model: {name: "mine.py:net", arguments: {fate: good}}
data: {name: "mine.py:images"}
steps: [{train: {epochs: 1, batch: 8}}, {prune.weights: {pattern: "2:4", skip: ["0"]}}]
sweep: {model.arguments.fate: [killed once, bad, good, killed]}
"""
    found = lab.run(preset=lab.preset(text, "mine"), code=1)
    once, bad, good, killed = found["trials"]
    assert [trial["status"] for trial in found["trials"]] == ["done", "failed", "done", "failed"]
    assert once["results"]["accuracy"] == good["results"]["accuracy"]
    tried_again = [e for e in lab.events("mine-1") if isinstance(e, ev.Notice) and "SIGKILL" in e.text]
    assert len(tried_again) == 2
    assert "mine.py" in bad["error"]["title"]
    assert "KeyError: 'no such thing'" in bad["error"]["detail"]
    assert "line 12" in bad["error"]["detail"]
    assert "killed" in killed["error"]["title"]
    assert "SIGKILL" in killed["error"]["detail"]
    assert good["results"]["sparsity"] > 0.4
    (lab.folder / "mine.py").write_text(MINE.replace("drawn =", "drawing ="))
    failed = lab.call("run", lab.preset(text, "mine"))
    assert failed.returncode == 2
    assert failed.stderr.startswith("secateur: Your own code failed")
    assert "NameError" in failed.stderr
    assert not lab.study("mine-2").path.exists()


def test_the_engine_outlives_its_terminal_and_weights_come_from_a_state_dict(lab: Lab, first: Any) -> None:
    train = lab.state("p-1").trials[0].steps[0]
    weights = lab.workspace / "store" / "objects" / train.key[:2] / train.key / "model.safetensors"
    text = PRESET.replace("  - train: {epochs: 2, batch: 32}\n", "").replace("0.5, 0.9", "0")
    preset = lab.preset(text.replace("{width: 4}}", f"{{width: 4}}, weights: {weights}}}"), "given")
    command = [sys.executable, "-m", "engine.cli.main", "run", preset]
    alone = replace(lab, warm=False)  # the server of its workers must outlive the terminal too
    child, terminal = pseudo_terminal.start(command, lab.folder, alone.environment)
    run = lab.study("given-1")
    wait_for(lambda: run.read_status().state == "running")
    os.close(terminal)  # the kernel sends SIGHUP to the terminal's session, as a dropped connection does
    child.wait()
    found = lab.json("watch", "given-1")
    assert found["status"] == "done"
    assert found["baseline"]["results"]["validation_accuracy"] == train.measures["validation_accuracy"]


def test_watching_a_finished_study_shows_its_table(lab: Lab, first: Any) -> None:
    done = lab.call("watch", "p-1")
    assert done.returncode == 0
    assert "test acc." in done.stdout


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("quickstrt", "quickstart"),
        ("missing.yaml", "missing.yaml"),
        ("model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {epochs: -1}}]\n", "train.epochs"),
        ("model: {name: resnet20}\ndata: {name: imagefolder, root: nowhere}\nsteps: [train]\n", "nowhere"),
        ("model: {name: resnet20}\ndata: {name: cifar10}\nsteps: [train]\n", "secateur data fetch cifar10"),
    ],
)
def test_what_can_not_start_is_explained_and_writes_nothing(tmp_path: Path, preset: str, said: str) -> None:
    lab = Lab(tmp_path)
    name = lab.preset(preset) if "\n" in preset else preset
    done = lab.call("run", name, "--json")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 2, "whoever reads the output alone learns it too"
    assert "Traceback" not in done.stderr
    assert not lab.workspace.exists()


def test_a_finished_study_can_not_be_cancelled(lab: Lab, first: Any) -> None:
    done = lab.call("cancel", "p-1")
    assert done.returncode == 2
    assert "done" in done.stderr


def test_list_and_show_agree_with_run(lab: Lab, first: Any) -> None:
    listed = {study["study"]: study for study in lab.json("list")}
    assert (listed["p-1"]["state"], listed["p-1"]["done"], listed["p-1"]["trials"]) == ("done", 2, 2)
    assert lab.json("show", "p-1") == first


def test_nothing_is_left_running(lab: Lab) -> None:
    wait_for(lambda: not processes_of(lab.workspace))
