"""`secateur export`: a trial's model as a folder, checked after writing."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from study_lab import Lab

from engine import events as ev


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run()
    return lab


@pytest.fixture(scope="module")
def exported(lab: Lab) -> tuple[Path, Any]:
    """The folder and what the command printed for it."""
    out = lab.folder / "out"
    return out, lab.json("export", "p-1", str(out), "--trial", "1")


def test_the_folder_has_all_that_is_needed_and_its_hashes(exported: tuple[Path, Any]) -> None:
    out, card = exported
    files = {"load.py", "model.json", "model.safetensors", "preset.yaml"}
    assert {file.name for file in out.iterdir()} == files | {"card.json", "card.md"}
    assert card["files"] == {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}
    assert json.loads((out / "card.json").read_text()) | {"folder": str(out)} == card
    text = (out / "card.md").read_text()
    assert all(digest in text for digest in card["files"].values())


def test_the_card_tells_what_the_study_measured(lab: Lab, exported: tuple[Path, Any]) -> None:
    _, card = exported
    shown = lab.json("show", "p-1")
    results = shown["trials"][1]["results"]
    assert card["parameters"] == {"prune.weights.sparsity": 0.9}
    accuracy = {"model": results["accuracy"], "baseline": shown["baseline"]["results"]["accuracy"]}
    assert card["results"]["accuracy"] == accuracy
    assert card["results"]["size.packed"]["model"] == results["size"]["packed"]
    assert card["environment"]["packages"]["torch"]


def test_what_was_written_was_compared_with_the_trials_model(exported: tuple[Path, Any]) -> None:
    check = exported[1]["check"]
    assert check["deviation"] == 0.0
    assert check["changed"] == 0
    assert check["accuracy"] == check["accuracy_of_trial"] == exported[1]["results"]["accuracy"]["model"]


def test_the_loader_runs_by_itself(exported: tuple[Path, Any]) -> None:
    out, _ = exported
    done = subprocess.run(
        [sys.executable, "-I", str(out / "load.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("outputs (1, 10)\n")


def test_onnx_is_a_format_too(lab: Lab) -> None:
    out = lab.folder / "onnx"
    card = lab.json("export", "latest", str(out), "--trial", "best", "--format", "onnx")
    assert (out / "model.onnx").is_file()
    assert 0 <= card["check"]["deviation"] < 1e-3
    assert card["check"]["changed"] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trial", "7"], "has no trial 7"),
        (["--trial", "one"], "has no trial one"),
        (["--format", "pickle"], "no format pickle"),
        ([], "is not empty"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    words: list[str], told: str, lab: Lab, exported: tuple[Path, Any]
) -> None:
    out, _ = exported
    before = {file: file.read_bytes() for file in out.iterdir()}
    done = lab.call("export", "p-1", str(out), *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    assert not [path for path in lab.folder.iterdir() if path.name.startswith(".")]


def test_force_replaces_the_files(lab: Lab, exported: tuple[Path, Any]) -> None:
    out = lab.folder / "forced"
    out.mkdir()
    (out / "load.py").write_text("broken")
    (out / "mine.txt").write_text("stays")
    lab.json("export", "p-1", str(out), "--force")
    assert "class Model" in (out / "load.py").read_text()
    assert (out / "mine.txt").read_text() == "stays"


def test_a_finished_trial_of_an_unfinished_study_can_be_taken(lab: Lab) -> None:
    study, half = lab.study("p-1"), lab.study("half-1")
    half.path.mkdir()
    half.preset.write_bytes(study.preset.read_bytes())
    half.request.write_bytes(study.request.read_bytes())
    first = lab.state("p-1").trials[0].measure.key
    for line in study.events.read_bytes().splitlines(keepends=True):
        with half.events.open("ab") as file:
            file.write(line)
        event = ev.parse_line(line)
        if isinstance(event, ev.StepFinished) and event.key == first:
            break
    assert lab.json("export", "half-1", str(lab.folder / "half"))["trial"] == 0
    done = lab.call("export", "half-1", str(lab.folder / "other"), "--trial", "1")
    assert "is not finished" in done.stderr
