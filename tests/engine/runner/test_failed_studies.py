"""Real studies whose trials fail in their workers: what the commands say, and with which exit code."""

import os
import signal
from pathlib import Path

import pytest

from tests.study_lab import PRESET, Lab, wait_for

MODEL = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, wrong):
        super().__init__()
        self.wrong, self.trained, self.out = wrong, 0, nn.Linear(64, 10)

    def forward(self, x):
        self.trained += self.training
        if self.trained == 3 and self.wrong:
            raise ValueError(f"a mistake of mine: {self.wrong}")
        return self.out(x.flatten(1))


def make(wrong):
    return Net(wrong)
"""
OWN = """\
threads: 1
device: cpu
model: {name: net.py:make, arguments: {wrong: shape}}
data: {name: digits, limit: 100}
steps:
  - train: {epochs: 1, batch: 32}
  - prune.weights: {sparsity: 0.5}
sweep:
  WHAT
plot: {x: WHAT_X, y: accuracy}
"""


def own(name: str, values: str) -> str:
    return OWN.replace("WHAT_X", name).replace("WHAT", f"{name}: {values}")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "net.py").write_text(MODEL)
    return Lab(tmp_path)


def test_where_all_trials_fail_alike_every_command_says_why_once(lab: Lab) -> None:
    ran = lab.call("run", lab.preset(own("prune.weights.sparsity", "[0.3, 0.5, 0.7]")))
    assert ran.returncode == 1
    for said in (ran.stdout, ran.stderr, lab.call("show", "p-1").stdout, lab.call("list").stdout):
        assert said.count("a mistake of mine: shape") == 1
    assert "3 of 3 trials failed in train:" in ran.stdout
    assert "`secateur resume p-1` tries them again." in ran.stdout
    assert lab.call("watch", "p-1").returncode == 1
    plotted = lab.call("plot", "p-1")
    assert plotted.returncode == 1
    assert "3 of 3 trials failed in train:" in plotted.stderr
    assert "nothing called" not in plotted.stderr
    assert "a mistake of mine: shape" in lab.call("show", "p-1", "--trial", "2").stdout
    again = lab.call("resume", "p-1")
    assert again.returncode == 1
    assert again.stdout.count("a mistake of mine: shape") == 1


def test_where_some_trials_fail_the_others_are_shown_and_the_reasons_grouped(lab: Lab) -> None:
    ran = lab.call("run", lab.preset(own("model.arguments.wrong", "['', shape, dtype]")))
    assert ran.returncode == 1
    assert "2 of 3 trials failed, for 2 reasons:" in ran.stdout
    assert ran.stdout.count("a mistake of mine: shape") == ran.stdout.count("a mistake of mine: dtype") == 1
    plotted = lab.call("plot", "p-1")
    assert plotted.returncode == 0
    assert "baseline" in plotted.stdout
    assert "2 of 3 trials failed" in plotted.stdout


def test_a_search_whose_candidates_all_fail_says_that_it_found_nothing_once_everywhere(lab: Lab) -> None:
    (lab.folder / "net.py").write_text(MODEL.replace("self.trained == 3", "(self.out.weight == 0).any()"))
    search = "  smallest: size.packed\n  table: none\n  budget: {trials: 2}\n  over:\n"
    search += "    - prune.weights: {sparsity: 0.3..0.9}\n    - finetune: {epochs: 1, batch: 32}\n"
    text = OWN.partition("  - prune")[0] + f"search:\n{search}"
    ran = lab.call("run", lab.preset(text))
    assert ran.returncode == 1
    for said in (ran.stdout, lab.call("show", "p-1").stdout, lab.call("list").stdout):
        assert said.count("Of 2 candidates none could be computed and measured to its end") == 1
    error = lab.study("p-1").read_status().error
    assert error is not None and error["title"] == "The search found nothing to take"


def test_a_lost_study_says_since_when_and_goes_on(lab: Lab) -> None:
    name = lab.json("run", lab.preset(PRESET.replace("epochs: 2", "epochs: 400")), "--detach")["study"]
    run = lab.study(name)
    os.kill(wait_for(lambda: run.read_status().heartbeat and run.read_status().pid), signal.SIGKILL)
    wait_for(lambda: run.read_status().state == "lost")
    for command in (("show", name), ("list",), ("plot", name)):
        done = lab.call(*command)
        said = done.stdout + done.stderr
        assert "last heard of 20" in said
        assert "secateur resume" in said
        assert "nothing called" not in said
    assert lab.call("watch", name).returncode == 1
