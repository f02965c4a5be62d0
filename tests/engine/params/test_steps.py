"""The table of step kinds: every class is in it, under its own kind."""

from importlib import import_module
from pkgutil import iter_modules

import pytest

from engine import params
from engine.params import CLASSES, STEPS, Step, StepParams


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
