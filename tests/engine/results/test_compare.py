"""Two trials side by side: what was set otherwise, what came out, layer by layer."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.results import compare
from engine.results.compare import Measured
from engine.studies.state import load
from engine.testing import folders
from tui.views.compare import lines

PRESET = folders.PRESET.replace("[0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95]", "[0, 0.5]")
OTHER = PRESET.replace("epochs: 12", "epochs: 9").replace("criterion: l1", "criterion: taylor")


def side(folder: Path, name: str, trial: str, preset: str = PRESET) -> compare.Side:
    run = folders.Study(folder / "w", name, sparsities=(0.0, 0.5), preset=preset).start().finish().run
    return compare.side(run, load(run.path), trial)


def test_studies_of_one_name_are_told_apart_by_their_workspaces(tmp_path: Path) -> None:
    a, b = (side(tmp_path / folder, "a", "0") for folder in ("here", "there"))
    found = compare.compare(a, b)
    assert (found.a.name, found.b.name) == ("here/w: a-1:0", "there/w: a-1:0")
    assert compare.compare(a, a).a.name == "a-1:0"


def test_trials_of_two_studies(tmp_path: Path) -> None:
    found = compare.compare(side(tmp_path, "a", "pick"), side(tmp_path, "b", "0", OTHER))
    assert found.a.name == "a-1:3" and found.b.name == "b-1:0"
    differing = {one.name: (one.a, one.b) for one in found.parameters}
    assert differing == {
        "train.epochs": ("12", "9"),
        "prune.weights.scope": ("global", "local"),
        "prune.weights.criterion": ("l1", "taylor"),
        "prune.weights.sparsity": ("0.5", "0"),
    }
    measured = {row.name: row for row in found.measures}
    assert measured["accuracy"].better and measured["nonzero_parameters"].better is False
    assert len(found.layers) == 20 and all(a and b and a.nonzero <= b.nonzero for a, b in found.layers)
    for width in (60, 100, 160):
        text = "\n".join("".join(part for part, _ in line) for line in lines(found, width))
        assert "train.epochs" in text and "layer3.2.conv1" in text and "│" in text
        assert max(map(len, text.splitlines())) <= width


def test_what_only_one_of_them_has(tmp_path: Path) -> None:
    assert Measured("accuracy", 0.9, None).change is None and Measured("accuracy", 0.9, 0.9).better is None
    a = side(tmp_path, "a", "1")
    with pytest.raises(UsageError, match="no trial 9"):
        compare.side(a.run, a.state, "9")
    assert compare.compare(a, a).parameters == () and compare.as_json(compare.compare(a, a))["layers"]


def test_of_a_step_that_one_of_them_has_what_was_given_is_told_and_no_default(tmp_path: Path) -> None:
    more = PRESET.replace("sweep:", "  - quantize.weights: {bits: 4}\nsweep:")
    found = compare.compare(side(tmp_path, "a", "0"), side(tmp_path, "b", "0", more))
    assert {one.name: (one.a, one.b) for one in found.parameters} == {
        "steps": ("train, prune.weights, finetune", "train, prune.weights, finetune, quantize.weights"),
        "quantize.weights.bits": ("–", "4"),
    }
    told = ["".join(part for part, _ in line) for line in lines(found, 113)]
    assert told[0] == "Measures", "what came out is what one compares for"
    row = next(line for line in told if "quantize.weights.bits" in line)
    assert row.split() == ["quantize.weights.bits", "–", "4"]
    assert max(map(len, told)) <= 113
