"""The rows that forms, docs and messages are rendered from."""

import pytest

from engine.params import STEPS, Params, PruneWeights, Train
from engine.params.preset import Settings
from engine.params.rows import Row, describe, find, summary

EVERYTHING: list[type[Params]] = [Settings, *STEPS.values()]


def row(cls: type[Params], path: str) -> Row:
    found = find(cls, path)
    assert found is not None
    return found


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda cls: cls.__name__)
def test_every_parameter_has_a_help_text_a_type_and_a_phrase(cls: type[Params]) -> None:
    assert summary(cls).endswith(".")
    for one in describe(cls):
        assert one.help.endswith("."), one.path
        assert "\n" not in one.help
        assert one.type in ("number", "integer", "choice", "text", "list", "yes/no", "mapping", "group")
        assert one.allowed()


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda cls: cls.__name__)
def test_every_value_of_a_choice_says_what_it_means(cls: type[Params]) -> None:
    """`engine.params.choices` has the lines of those that are no classes."""
    unsaid = [
        (one.path, choice)
        for one in describe(cls)
        for choice, meaning in zip(one.choices, one.meanings, strict=True)
        if one.type == "choice" and not meaning
    ]
    assert unsaid == []


@pytest.mark.parametrize("cls", STEPS.values(), ids=lambda cls: cls.__name__)
def test_the_defaults_shown_are_the_defaults_used(cls: type[Params]) -> None:
    made = cls()
    dumped = made.model_dump(mode="json")
    for one in describe(cls):
        if "." not in one.path:
            # What came later is written only where it is not its default: keys of stored studies stay as they are.
            value = dumped[one.path] if one.path in dumped else getattr(made, one.path)
            assert one.default == (value.get("kind", value) if isinstance(value, dict) else value)


def test_bounds_and_units() -> None:
    sparsity = row(PruneWeights, "sparsity")
    assert (sparsity.minimum, sparsity.maximum) == (0, 1)
    assert (sparsity.exclusive_minimum, sparsity.exclusive_maximum) == (False, True)
    epochs = row(Train, "epochs")
    assert (epochs.type, epochs.unit, epochs.minimum) == ("integer", "epochs", 1)


@pytest.mark.parametrize(
    ("cls", "path", "phrase"),
    [
        (PruneWeights, "scope", "one of local, global, sensitivity, solved"),
        (PruneWeights, "sparsity", "a number ≥ 0 and < 1"),
        (PruneWeights, "pattern", "N:M such as 2:4, or null"),
        (PruneWeights, "skip", "a list of texts"),
        (Train, "epochs", "a whole number ≥ 1 and ≤ 10000 (epochs)"),
        (Train, "enabled", "true or false"),
        (Settings, "seed", "a whole number ≥ 0 and ≤ 2147483647, or a list of them"),
        (Settings, "threads", "a whole number ≥ 1 and ≤ 1024, or auto"),
        (Settings, "data.mean", "a list of numbers, or data, or imagenet, or half"),
        (Settings, "data.channels", "a whole number ≥ 1 and ≤ 1024, or null"),
        (
            Settings,
            "measure.latency.batch",
            "a list of whole numbers ≥ 1 and ≤ 4096 (images), at least one of them",
        ),
        (Settings, "version", "1"),
    ],
)
def test_what_is_allowed_is_a_phrase(cls: type[Params], path: str, phrase: str) -> None:
    assert row(cls, path).allowed() == phrase


def test_variants_are_a_choice_followed_by_their_parameters() -> None:
    paths = [one.path for one in describe(PruneWeights)]
    start = paths.index("schedule")
    assert paths[start : start + 4] == [
        "schedule",
        "schedule.rounds",
        "schedule.epochs",
        "schedule.learning_rate",
    ]
    schedule = row(PruneWeights, "schedule")
    assert (schedule.type, schedule.choices, schedule.default) == (
        "choice",
        ("one-shot", "linear", "cubic"),
        "one-shot",
    )
    assert row(PruneWeights, "schedule.rounds").when == "schedule = linear or cubic"


def test_groups_are_followed_by_their_parameters() -> None:
    latency = row(Settings, "measure.latency")
    assert (latency.type, latency.optional) == ("group", True)
    assert row(Settings, "data.name").required
    assert not row(Settings, "model.weights").required


def test_a_steps_own_parameters_come_before_those_all_steps_share() -> None:
    paths = [one.path for one in describe(Train)]
    assert paths[0] == "epochs"
    assert paths[-2:] == ["id", "enabled"]


def test_below_a_free_mapping_anything_is_found() -> None:
    assert row(Settings, "model.arguments.width").path == "model.arguments"
    assert find(Settings, "model.width") is None


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda cls: cls.__name__)
def test_a_group_by_default_is_what_pydantic_makes_of_it(cls: type[Params]) -> None:
    rows = {row.path: row.default for row in describe(cls)}
    for name, info in cls.model_fields.items():
        if isinstance(info.default, Params) and "kind" not in type(info.default).model_fields:
            assert rows[name] == info.default.model_dump(mode="json")
