"""The JSON Schema of presets: it takes every preset that the program takes, and refuses what is plainly wrong."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from engine.params import STEPS
from engine.params.schema import schema
from engine.presets import shipped
from tests import HOME

VALIDATOR = jsonschema.Draft202012Validator(schema())
SMALL: dict[str, Any] = {"model": {"name": "resnet20"}, "data": {"name": "digits"}}


def test_it_is_a_schema_and_the_docs_hold_it() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    written = (HOME / "docs" / "reference" / "preset.schema.json").read_text("utf-8")
    assert json.loads(written) == schema()


@pytest.mark.parametrize("preset", shipped.shipped(), ids=lambda preset: preset.name)
def test_every_preset_that_comes_with_secateur_is_valid(preset: shipped.Shipped) -> None:
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(preset.path.read_text("utf-8"))))


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_may_be_its_kind_alone(kind: str) -> None:
    for step in (kind, {kind: None}, {kind: {}}, {kind: {"id": "once"}}):
        assert VALIDATOR.is_valid(SMALL | {"steps": [step]}), step


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": [{"prune.weights": {"sparcity": 0.5}}]},
        {"steps": [{"prune.weights": {"sparsity": 1.5}}]},
        {"steps": [{"prune.weights": {"scope": "everywhere"}}]},
        {"steps": [{"prune": {}}]},
        {"steps": []},
        {"steps": ["train"], "threads": "many"},
        {"steps": ["train"], "colour": "red"},
        {"steps": [{"train": {}, "finetune": {}}]},
    ],
    ids=str,
)
def test_what_is_plainly_wrong_is_refused(wrong: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(SMALL | wrong)
