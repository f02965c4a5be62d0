"""`secateur export`: a trial's model as a folder, checked after writing."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compute.models.resnet import CifarResNet
from engine.store import objects
from engine.studies import events as ev
from tests.study_lab import PRESET, Lab

TRAINING_ALONE = """
import numpy as np

def load():
    images = np.random.default_rng(0).integers(256, size=(100, 1, 8, 8), dtype=np.uint8)
    return {"train": (images, np.arange(100) % 10)}
"""
BROUGHT = """
device: cpu
threads: 1
model: {name: resnet8, arguments: {width: 2}, weights: best.pth}
data: {name: data.py:load}
steps:
  - prune.weights: {sparsity: 0.5}
"""


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


def test_the_card_tells_that_the_test_images_are_drawn_from_those_of_training(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    torch.save(CifarResNet(8, channels=1, classes=10, width=2).state_dict(), tmp_path / "best.pth")
    (tmp_path / "data.py").write_text(TRAINING_ALONE)
    found = lab.run(preset=lab.preset(BROUGHT))
    drawn, seen = "no validation and no test images are brought", "best.pth may have been trained on the"
    checked = found["checked"]
    assert drawn in checked["data"][0]["notes"][0]
    assert any(seen in note for note in checked["networks"][0]["notes"])
    shown = lab.call("show", "p-1").stdout
    assert drawn in shown and seen in shown
    card = lab.json("export", "p-1", str(tmp_path / "out"), "--trial", "0")
    text = (tmp_path / "out" / "card.md").read_text()
    for said in (drawn, seen):
        assert any(said in remark["text"] for remark in card["remarks"])
        assert said in text


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


@pytest.fixture(scope="module")
def forced(lab: Lab) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A folder with files that was exported to all the same, and what the command said; no trial was named."""
    out = lab.folder / "forced"
    out.mkdir()
    (out / "load.py").write_text("broken")
    (out / "mine.txt").write_text("stays")
    return out, lab.call("export", "p-1", str(out), "--force")


def test_without_a_number_it_is_the_pick_and_says_which_and_why(
    lab: Lab, forced: tuple[Path, "subprocess.CompletedProcess[str]"]
) -> None:
    """The same that `show`, `list` and the lab name; never the uncompressed model, nor whichever came last."""
    picked = lab.json("show", "p-1")["pick"]
    _, done = forced
    assert done.returncode == 0, done.stderr
    assert picked["text"] in done.stderr
    assert f"trial {picked['index']} of p-1 is in" in done.stdout
    rows = {study["study"]: study for study in lab.json("list")}
    assert rows["p-1"]["pick"] == picked


def test_how_much_the_pick_may_lose_can_be_said(lab: Lab) -> None:
    assert lab.json("show", "p-1", "--within", "100")["pick"]["index"] == 1, "the smallest at any price"
    for points in ("101", "much"):
        done = lab.call("export", "p-1", str(lab.folder / "no"), "--within", points)
        assert done.returncode == 2 and f"given {points}; allowed: 0 to 100 points" in done.stderr


def test_openvinos_files_have_a_loader_and_a_card_too(lab: Lab) -> None:
    out = lab.folder / "openvino"
    card = lab.json("export", "latest", str(out), "--trial", "pick", "--format", "openvino")
    files = {"model.xml", "model.bin", "load.py", "preset.yaml", "card.json", "card.md"}
    assert {file.name for file in out.iterdir()} == files
    assert set(card["needs"]) == {"openvino", "numpy"}
    assert 0 < card["check"]["deviation"] <= card["check"]["tolerance"] <= 1e-3
    assert card["check"]["agreement"] == 1.0
    text = (out / "card.md").read_text()
    assert all(f"{name} {version}" in text for name, version in card["needs"].items())
    assert "100.00 % of the images get the same class" in text


def test_the_packed_file_is_as_large_as_the_study_says(lab: Lab) -> None:
    out = lab.folder / "packed"
    card = lab.json("export", "p-1", str(out), "--trial", "1", "--format", "packed")
    files = {"load.py", "unpack.py", "model.packed", "preset.yaml"}
    assert {file.name for file in out.iterdir()} == files | {"card.json", "card.md"}
    assert (out / "model.packed").stat().st_size == card["results"]["size.packed"]["model"]
    assert set(card["needs"]) == {"torch", "numpy"}
    assert card["trainable"]
    assert card["check"]["deviation"] == 0.0


def test_normalization_is_that_of_the_data_that_it_was_trained_with(lab: Lab) -> None:
    """Other data have other means and names of classes: `load.py` would be wrong without a word."""
    kept = lab.study("p-1").data
    known = kept.read_text()
    kept.write_text(json.dumps(dict.fromkeys(json.loads(known), "of other images")))
    try:
        done = lab.call("export", "p-1", str(lab.folder / "changed"))
    finally:
        kept.write_text(known)
    assert done.returncode == 1 and not (lab.folder / "changed").exists()
    assert "The data of digits are not those that the study began with" in done.stderr


def test_other_programs_follow_it_line_by_line(lab: Lab) -> None:
    out = lab.folder / "onnx"
    words = ["export", "p-1", str(out), "--json-lines", "--format"]
    *doing, last = map(json.loads, lab.call(*words, "onnx").stdout.splitlines())
    assert all(line.keys() == {"doing"} for line in doing)
    assert len(doing) >= 4
    assert last["folder"] == str(out)
    assert (out / "model.onnx").is_file()
    done = lab.call(*words, "int8-onnx")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "has no INT8 file" in error["title"]
    assert "quantize.static" in error["remedy"]


@pytest.fixture(scope="module")
def int8(lab: Lab) -> Lab:
    """The same workspace with a study `int8-1` whose one trial ends with an INT8 file."""
    text = PRESET.partition("sweep:")[0].replace("epochs: 2", "epochs: 8")
    text += "  - quantize.static: {images: 32}\n"
    lab.run("measure.latency=null", preset=lab.preset(text, "int8"))
    return lab


def test_an_int8_trial_is_its_file_unless_asked_otherwise(int8: Lab) -> None:
    out = int8.folder / "int8"
    card = int8.json("export", "int8-1", str(out))
    assert card["format"] == "int8-onnx"
    check = card["check"]
    assert check["deviation"] == 0.0
    assert check["accuracy"] == check["accuracy_of_trial"] == card["results"]["accuracy"]["model"]
    key = int8.state("int8-1").trials[0].steps[-1].key
    stored = int8.study("int8-1").store().folder(key) / "model.int8.onnx"
    assert (out / "model.int8.onnx").read_bytes() == stored.read_bytes()
    assert "equal, bit for bit" in (out / "card.md").read_text()


def test_an_int8_trial_is_had_in_the_packed_size_that_is_told(int8: Lab) -> None:
    out = int8.folder / "int8-packed"
    card = int8.json("export", "int8-1", str(out), "--format", "int8-packed")
    assert card["check"]["deviation"] == 0.0
    size = int8.state("int8-1").trials[0].results["size"]
    assert (out / "model.packed").stat().st_size == size["packed"] < size["plain"]
    key = int8.state("int8-1").trials[0].steps[-1].key
    stored = int8.study("int8-1").store().folder(key) / "model.int8.onnx"
    program = "import sys, load; sys.stdout.buffer.write(load.onnx_file())"
    given = subprocess.run([sys.executable, "-c", program], cwd=out, capture_output=True, check=True).stdout
    assert given == stored.read_bytes()


def test_an_int8_trial_for_openvino_says_how_far_it_is_off(int8: Lab) -> None:
    out = int8.folder / "int8-openvino"
    check = int8.json("export", "int8-1", str(out), "--format", "openvino")["check"]
    assert 0 < check["deviation"] <= check["tolerance"] == 0.1
    assert check["agreement"] >= 0.95
    assert (
        f"up to {check['deviation']:.1e} of the largest (tolerated: 1.0e-01)" in (out / "card.md").read_text()
    )


@pytest.mark.parametrize("form", ["safetensors", "onnx", "pt2", "packed"])
def test_an_int8_trial_is_not_passed_off_as_its_float_network(form: str, int8: Lab) -> None:
    done = int8.call("export", "int8-1", str(int8.folder / "float"), "--format", form)
    assert done.returncode == 2
    assert f"is an INT8 model, which {form} can't hold" in done.stderr
    assert "int8-onnx or int8-packed or openvino" in done.stderr
    assert not (int8.folder / "float").exists()


def test_without_openvino_its_files_are_refused_with_what_to_install(lab: Lab) -> None:
    code = "import sys; sys.modules['openvino'] = None; from engine.cli.main import main; sys.exit(main())"
    words = ["export", "p-1", "none", "--format", "openvino"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=lab.environment,
        cwd=lab.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "OpenVINO is not installed: pip install 'secateur[openvino]'" in done.stderr
    assert "choose safetensors" in done.stderr


def test_a_folder_that_cannot_be_made_is_an_error(lab: Lab) -> None:
    for out in ("/proc/none/x", "a" * 300):
        done = lab.call("export", "p-1", out)
        assert done.returncode == 2
        assert re.search("another (name or )?folder", done.stderr)
        assert "loading torch" not in done.stderr


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


def test_force_replaces_the_files(forced: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    out, _ = forced
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


def last_step(lab: Lab, trial: int) -> Path:
    """The folder of the trial's model in the store."""
    return lab.study("p-1").store().folder(lab.state("p-1").trials[trial].steps[-1].key)


def signed_anew(folder: Path) -> None:
    """Have `object.json` say that the folder's files are as they are now, as somebody could who means it."""
    meta = json.loads((folder / "object.json").read_text())
    for name in meta["files"]:
        content = (folder / name).read_bytes()
        meta["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "object.json").write_text(json.dumps(meta | {"digest": objects._digest(meta)}))


def test_a_model_that_is_not_what_was_measured_does_not_leave(lab: Lab, tmp_path: Path) -> None:
    folder = last_step(lab, 0)
    file = folder / "model.safetensors"
    for bit, sign in ((64, False), (32, True)):
        content = file.read_bytes()
        file.write_bytes(content[:-4] + bytes(byte ^ bit for byte in content[-4:]))
        if sign:
            signed_anew(folder)
        done = lab.call("export", "p-1", str(tmp_path / "out"), "--trial", "0")
        assert done.returncode == 1
        assert "is not the one that was measured" in done.stderr and str(folder) in done.stderr
        assert not (tmp_path / "out").exists()
    # Its measures say which model they are of: neither is used for the other.
    assert lab.call("resume", "p-1").returncode == 0
    lab.json("export", "p-1", str(tmp_path / "out"), "--trial", "0")
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["check"]["accuracy"] == card["results"]["accuracy"]["model"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing(lab: Lab, number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and by what is started from here")
    writing = lab.start("export", "p-1", "ended")
    assert writing.stderr is not None
    assert any("reading the data set" in line for line in writing.stderr)
    writing.send_signal(number)
    writing.communicate()
    assert writing.returncode == 128 + number
    assert not [path for path in lab.folder.iterdir() if "ended" in path.name]
