"""The form of `distill`: a group that lies within one variant is there with that variant only."""

from engine.presets.yaml.tree import Mapping, node_of
from tui.lab.fields import of_step


def paths(teacher: object) -> dict[str, str]:
    root = node_of({"steps": [{"distill": {"teacher": teacher}}]})
    assert isinstance(root, Mapping)
    return {field.address.path: field.row.type for field in of_step(root, 0)}


def test_a_network_of_its_own_shows_its_training_when_that_is_on() -> None:
    off = paths({"kind": "model", "name": "resnet20"})
    assert off["teacher.train"] == "switch"
    assert not any(path.startswith("teacher.train.") for path in off)
    on = paths({"kind": "model", "name": "resnet20", "train": {"epochs": 3}})
    assert {"teacher.train.epochs", "teacher.train.augment"} <= on.keys()


def test_the_baseline_has_nothing_to_fill_in() -> None:
    assert not any(path.startswith("teacher.") for path in paths("baseline"))
