"""A search's preset from a few words."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.presets import compress, shipped, spec
from engine.presets.steps import normalise
from engine.presets.yaml import tree


def read(network: str, goal: dict[str, Any], **within: Any) -> spec.Spec:
    document = compress.preset(network, "digits", None, goal, within, {"trials": 8})
    return spec.parse(spec.to_yaml(document), "p")


@pytest.mark.parametrize(
    "goal",
    [{"fastest": {"runtime": "onnxruntime"}}, {"smallest": "size.packed"}, {"smallest": "macs"}],
)
def test_every_goal_gives_a_preset_that_can_be_searched(goal: dict[str, Any]) -> None:
    found = read("resnet20", goal, accuracy="-1 point")
    assert found.space is not None and found.space.rungs == (1, 2, 4, 8)
    assert [step.kind for step in found.steps] == ["train"]


def test_weights_are_the_baseline_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "best.pth"
    file.touch()
    found = read(str(file), {"most_accurate": True}, **{"size.packed": "50 kB"})
    assert found.trials[0].steps == () and found.settings.model.weights == str(file)


def test_own_code_is_trained_wherever_it_lies() -> None:
    document = compress.preset("torchvision/mine.py:build", "digits", None, {"smallest": "macs"}, {}, {})
    assert document["model"] == {"name": "torchvision/mine.py:build"} and document["steps"]


@pytest.mark.parametrize("network", ["resnet20", "torchvision/resnet18", "net.py:build"])
def test_a_network_with_trained_weights_is_not_trained_first(network: str) -> None:
    document = compress.preset(network, "digits", None, {"smallest": "macs"}, {}, {}, "best.pth")
    assert document["model"] == {"name": network, "weights": "best.pth"} and "steps" not in document


def test_weights_are_those_of_a_network() -> None:
    with pytest.raises(UsageError, match=r"one\.pth is no network"):
        compress.preset("one.pth", "digits", None, {"smallest": "macs"}, {}, {}, "two.pth")


def test_networks_of_torchvision_come_with_their_weights() -> None:
    found = read("torchvision/resnet18", {"smallest": "parameters"})
    assert found.settings.model.weights == "pretrained" and not found.steps


@pytest.mark.parametrize("shipped_preset", shipped.shipped(), ids=lambda one: one.name)
def test_what_any_preset_compresses_can_be_searched_for_instead(shipped_preset: shipped.Shipped) -> None:
    """With its network, data and training, and nothing of what compressed it."""
    own = spec.read(shipped_preset.path)
    document = normalise(tree.load(shipped_preset.path.read_text("utf-8"), str)[0]).plain()
    found = spec.parse(spec.to_yaml(compress.instead(document)), "p")
    assert found.space is not None and not found.axes
    assert found.settings.model == own.settings.model and found.settings.data == own.settings.data
    assert found.settings.executor == own.settings.executor
    assert [step for step in found.steps if step.trains] == list(
        itertools.takewhile(lambda step: step.trains, own.trials[0].steps)
    )


@pytest.mark.parametrize(("seeds", "first"), [([3, 4], 3), ([], 0), (5, 5)])
def test_a_search_instead_has_one_seed(seeds: list[int] | int, first: int) -> None:
    document = {"seed": seeds, "model": {"name": "resnet20"}, "data": {"name": "digits"}}
    assert compress.instead(document)["seed"] == first
