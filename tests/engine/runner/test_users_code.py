"""A study and its user's code: what is imported is part of it, its data are one, and what it prints harms nothing."""

from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.presets.spec import parse
from engine.runner import inputs, launch
from engine.runner.executors import slurm
from engine.store.files import write_json
from engine.studies.plan import data_id
from tests.study_lab import Lab

LOUD = """
import atexit, os, sys, threading
atexit.register(lambda: print('bye'))
print('welcome')
sys.stdout.write('no end of line')
threading.Thread(target=lambda: os.write(1, b'a thread')).start()
os.system('echo a child')
"""
DATA = """
import numpy as np
def load():
    x = np.load("x.npy")  # where the study was started
    order = np.random.permutation(64)  # without a seed
    x, y = x[order], order % 4
    return {"train": (x[:40], y[:40]), "test": (x[40:], y[40:])}
"""
NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        from blocks import Block
        self.block, self.head = Block(channels), nn.Linear(8, classes)
    def forward(self, x):
        return self.head(self.block(x).mean((2, 3)))
def build(channels, classes, size):
    return Net(channels, classes)
"""
BLOCKS = """
from torch import nn
W = 4
def Block(c):
    return nn.Sequential(nn.Conv2d(c, W, 3), nn.ReLU(), nn.Conv2d(W, 8, 3))
"""
PRESET = """
seed: 0
threads: 1
device: cpu
model: {name: "net.py:build"}
data: {name: "data.py:load"}
steps:
  - train: {epochs: 1, batch: 32}
"""


@pytest.mark.long
def test_a_study_is_of_the_code_that_it_began_with(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for name, text in {"data": LOUD + DATA, "net": LOUD + NET, "blocks": BLOCKS}.items():
        (tmp_path / f"{name}.py").write_text(text)
    numpy = pytest.importorskip("numpy")
    numpy.save(tmp_path / "x.npy", numpy.random.default_rng(0).integers(0, 255, (64, 1, 8, 8), dtype="uint8"))
    preset = lab.preset(PRESET)
    first = lab.run(preset=preset)
    log = lab.study(first["study"]).log.read_text()
    assert all(text in log for text in ("welcome", "no end of line", "a thread", "a child", "bye"))

    (tmp_path / "blocks.py").write_text(BLOCKS.replace("W = 4", "W = 6"))
    edited = lab.run(preset=preset)
    assert edited["trials"][0]["results"]["parameters"] != first["trials"][0]["results"]["parameters"]

    replayed = lab.json("replay", first["study"])
    assert replayed["verdict"]["identical"], replayed["verdict"]
    assert any("blocks.py was changed" in notice.text for notice in lab.state(replayed["study"]).notices)
    exported = lab.call("export", first["study"], str(tmp_path / "out"))
    assert exported.returncode == 0, exported.stderr


def test_a_missing_file_is_told_before_a_study_is_written(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    done = lab.call("run", lab.preset(PRESET))
    assert done.returncode == 2 and "No file" in done.stderr
    assert not list((lab.workspace / "studies").glob("*"))


def test_a_study_goes_on_with_the_data_that_it_began_with(tmp_path: Path) -> None:
    text = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train: {epochs: 1}]\n"
    spec = parse(text, "p")
    run = launch.create(spec, tmp_path)
    found = inputs.data_of(run, spec, None)
    assert inputs.data_of(run, spec, None) == found
    write_json(run.data, {data_id(spec.trials[0]): "of other files"})
    with pytest.raises(SecateurError, match=f"not those that study {run.name} began with"):
        inputs.data_of(run, spec, None)
    again = launch.create(spec, tmp_path, replay_of=run.name)
    with pytest.raises(SecateurError, match=f"not those that study {run.name} began with") as refused:
        inputs.data_of(again, spec, run.name)
    assert refused.value.remedy.endswith("or put the files back and replay again.")


def test_a_damaged_record_of_the_code_is_no_other_code(tmp_path: Path) -> None:
    spec = parse("model: {name: resnet20}\ndata: {name: digits}\nsteps: [train: {epochs: 1}]\n", "p")
    run = launch.create(spec, tmp_path)
    assert not inputs.code_of(run, spec).programs and not run.code.exists()
    run.code.write_text("{")
    for read in (lambda: inputs.code_of(run, spec), lambda: slurm.prepare(run, spec)):
        with pytest.raises(SecateurError, match=f"code of study {run.name} can't be read"):
            read()
