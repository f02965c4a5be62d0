"""The table of step kinds: every class is in it, under its own kind."""

from importlib import import_module
from pkgutil import iter_modules

import pytest

from engine import params
from engine.params import CLASSES, STEPS, Step, StepParams
from engine.params.rows import find


def test_the_table_has_every_step_under_its_kind() -> None:
    for module in iter_modules(params.__path__, "engine.params."):
        import_module(module.name)
    assert {kind: cls.kind for kind, cls in STEPS.items()} == {kind: kind for kind in CLASSES}
    declared = [cls for cls in _below(StepParams) if "kind" in vars(cls)]
    assert sorted(cls.kind for cls in declared) == sorted(STEPS)
    assert set(Step.__args__) == set(declared)


def _below(cls: type[StepParams]) -> list[type[StepParams]]:
    return [one for below in cls.__subclasses__() for one in (below, *_below(below))]


def test_a_step_can_be_had_by_the_name_of_its_class() -> None:
    assert params.PruneWeights is STEPS["prune.weights"]
    with pytest.raises(AttributeError, match="Prunes"):
        params.Prunes  # noqa: B018
    assert "prunes" not in STEPS and STEPS.get("prunes") is None


def test_what_says_how_far_a_step_goes_is_a_number_of_it() -> None:
    for cls in STEPS.values():
        found = [find(cls, name) for name in cls.extents]
        assert all(row is not None and row.type in ("number", "integer") for row in found), cls.kind
        assert cls.compresses or not found


def test_keys_are_those_of_before_there_were_layers_where_none_is_named() -> None:
    values: dict[str, float] = {
        "prune.weights": 0.5,
        "prune.channels": 0.5,
        "quantize.weights": 4,
        "factorize": 0.5,
    }
    assert {kind for kind, cls in STEPS.items() if "layers" in cls.model_fields} == values.keys()
    assert not any("layers" in cls().key_material() for cls in STEPS.values())
    for kind, value in values.items():
        named = STEPS[kind].model_validate({"layers": {"conv1": value}}).key_material()
        assert named["layers"] == {"conv1": value}
        assert {**STEPS[kind]().key_material(), "layers": named["layers"]} == named
