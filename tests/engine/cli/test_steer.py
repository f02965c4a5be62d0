"""Techniques are pinned and forbidden from the command line."""

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.presets import spec
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.log import EventLog
from engine.studies.settings import to_json

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps: [train]
search:
  smallest: size.packed
  budget: {trials: 8}
  over:
    - prune.weights: {sparsity: 0.1..0.9}
    - finetune: {epochs: 1..2}
    - quantize.weights: {bits: 2..8}
"""


def test_wishes_add_up_and_are_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = spec.parse(PRESET, "p")
    text = spec.to_yaml(read.document)
    rundir.create(tmp_path, "p", text, {"name": "p"}, to_json(read, text))

    def steer(*options: str, code: int = 0) -> str:
        assert main(["steer", "p-1", *options, "--workspace", str(tmp_path)]) == code
        said = capsys.readouterr()
        return said.out + said.err

    assert json.loads(steer("--pin", "prune.weights", "--forbid", "quantize.weights", "--json"))["held"] == {
        "prune.weights": True,
        "quantize.weights": False,
    }
    assert "prune.weights: pinned" in steer("--free", "quantize.weights")
    assert "did you mean prune.weights" in steer("--pin", "prune.weight", code=2)
    assert "finetune is no technique" in steer("--forbid", "finetune", code=2)
    nothing = steer("--forbid", "prune.weights", "--forbid", "quantize.weights", code=2)
    assert "Nothing would be left that compresses" in nothing


def test_a_search_that_confirms_its_finalists_takes_no_wishes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = spec.parse(PRESET, "p")
    text = spec.to_yaml(read.document)
    run = rundir.create(tmp_path, "p", text, {"name": "p"}, to_json(read, text))
    log = EventLog(run.events)
    log.append(ev.Proposed(round=0, purpose="confirm", trials=[]))
    log.close()
    assert main(["steer", "p-1", "--pin", "prune.weights", "--workspace", str(tmp_path)]) == 2
    assert "p-1 tries no more candidates" in capsys.readouterr().err
    assert main(["steer", "p-1", "--free", "prune.weights", "--workspace", str(tmp_path)]) == 0
    assert main(["steer", "p-1", "--workspace", str(tmp_path)]) == 0
