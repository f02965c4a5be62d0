"""Every mistake in a preset is told with its line, its path, what was given and what is allowed."""

from pathlib import Path

import pytest

from engine.errors import EXIT_USAGE, PresetInvalid, Problem, UsageError
from engine.presets import spec
from tests.engine.presets.bad_presets import HEAD, NOT_YAML, PIPELINE, SECTIONS, Case
from tests.engine.presets.bad_steps import STEPS
from tests.engine.presets.bad_sweeps import SWEEPS


def problems(text: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(text, "p", overrides, source="p.yaml")
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value.problems


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in NOT_YAML + SECTIONS + STEPS + SWEEPS]
)
def test_one_mistake_is_one_problem(case: Case) -> None:
    found = problems(case.text)
    assert [(one.place, one.path) for one in found] == [(f"p.yaml:{case.line}", case.path)], found
    for fragment in case.message:
        assert fragment in str(found[0])
    assert "pydantic" not in str(found[0])
    assert "Input should" not in str(found[0])


def test_every_mistake_is_told_at_once() -> None:
    text = """\
abuot: everything wrong
seed: [0, one]
model: {name: resnet21, weights: pretraned}
data: {name: digits, limit: 3}
steps:
  - trian: {epochs: 1}
  - prune.weights: {scope: lokal, sparsity: 1.5}
  - finetune: {epochs: "1"}
sweep:
  prune.weights.criterion: [l1, l3]
  seed: [0, 1]
measure: {latency: {batch: [0]}}
plot: {x: prune.weights.criterion, y: acc}
"""
    found = problems(text)
    assert [(one.place, one.path) for one in found] == [
        ("p.yaml:1", "abuot"),
        ("p.yaml:2", "seed[1]"),
        ("p.yaml:3", "model.name"),
        ("p.yaml:3", "model.weights"),
        ("p.yaml:4", "data.limit"),
        ("p.yaml:6", "steps[0].trian"),
        ("p.yaml:7", "steps[1].prune.weights.scope"),
        ("p.yaml:7", "steps[1].prune.weights.sparsity"),
        ("p.yaml:8", "steps[2].finetune.epochs"),
        ("p.yaml:10", "sweep.prune.weights.criterion[1]"),
        ("p.yaml:11", "sweep.seed"),
        ("p.yaml:12", "measure.latency.batch[0]"),
        ("p.yaml:13", "plot.y"),
    ]


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ("limit: 1e3", "write 1000"),
        ("limit: 1e1", ""),
        ("limit: '30'", "write 30 without quotes"),
        ("limit: '3'", ""),
        ("validation: 10%", "write 0.1"),
        ("validation: 90 %", ""),
    ],
)
def test_a_hint_does_not_lead_to_the_next_error(data: str, hint: str) -> None:
    (found,) = problems(HEAD.replace("digits", f"digits, {data}") + "steps: [train]\n")
    assert found.hint == hint


def test_order_is_checked_even_where_parameters_are_wrong() -> None:
    found = problems(HEAD + "steps:\n  - finetune: {epochs: 0}\n  - train: {epochs: 0}\n")
    assert [one.path for one in found] == [
        "steps[0].finetune",
        "steps[0].finetune.epochs",
        "steps[1].train.epochs",
    ]


def test_a_value_wrong_in_many_trials_is_told_once() -> None:
    found = problems(f"{PIPELINE}sweep:\n  prune.weights.sparsity: [0, 2]\n  train.epochs: 1..50 by 1\n")
    assert [one.path for one in found] == ["sweep.prune.weights.sparsity[1]"]


def test_the_message_counts_and_lists_the_problems() -> None:
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(HEAD + "steps: [train]\nthreads: 0\nseed: -1\n", "p", source="p.yaml")
    assert str(caught.value).splitlines() == [
        "Preset p.yaml is not valid: 2 problems",
        "  p.yaml:4: threads: given 0; allowed: a whole number ≥ 1 and ≤ 1024, or auto",
        "  p.yaml:5: seed: given -1; allowed: a whole number ≥ 0 and ≤ 2147483647, or a list of them",
        "Nothing was started. `secateur params` lists every step and parameter.",
    ]


OVERRIDES = [
    ("train.epochs=0", "--set train.epochs", "given 0", "≥ 1"),
    ("train.epoch=1", "--set train.epoch", "is unknown", "did you mean epochs?"),
    ("trian.epochs=1", "--set trian.epochs", "names nothing", "did you mean train.epochs?"),
    ("modle.name=resnet20", "--set modle.name", "names nothing", "did you mean model.name?"),
    ("data.limit=few", "--set data.limit", "given 'few'", "≥ 16 (images)"),
    ("train.epochs", "--set", "given 'train.epochs'", "PATH=VALUE"),
    ("=1", "--set", "given '=1'", "PATH=VALUE"),
    ("seed=[0, 1", "--set seed", "a list that is not closed", ""),
    ("train=1", "--set train", "names a whole step", ""),
    ("train.epochs=[1, 2]", "--set train.epochs", "given [1, 2]", "belong in `sweep`"),
    ("sweep.train.epochs=3", "--set sweep.train.epochs", "given 3", "a list such as"),
    ("sweep.train.epoch=[1]", "--set sweep.train.epoch", "is unknown", "did you mean epochs?"),
    ("prune.weights.sparsity=[0, 2]", "--set prune.weights.sparsity", "given 2", "≥ 0 and < 1"),
    (
        "steps[0].train.epochs=3",
        "--set steps[0].train.epochs",
        "is not how steps are addressed",
        "train.epochs",
    ),
    ("model={nam: resnet20}", "--set model", "is unknown", "did you mean name?"),
]


@pytest.mark.parametrize(
    ("override", "place", "given", "allowed"), OVERRIDES, ids=[row[0] for row in OVERRIDES]
)
def test_a_wrong_override_is_told_as_such(override: str, place: str, given: str, allowed: str) -> None:
    found = problems(f"{PIPELINE}sweep:\n  prune.weights.sparsity: [0, 0.5]\n", override)
    assert {one.place for one in found} <= {place, "p.yaml:1"}
    assert given in str([str(one) for one in found])
    assert allowed in str([str(one) for one in found])


def test_the_path_of_an_override_is_told_once() -> None:
    (found,) = problems(PIPELINE, "prune.weights.layers={layer1.0.conv1: x}")
    assert str(found).startswith("--set prune.weights.layers: layer1.0.conv1: given 'x'")


def test_an_override_and_the_file_are_told_together() -> None:
    found = problems(HEAD + "steps: [train]\nthreads: 0\n", "train.epochs=0")
    assert [one.place for one in found] == ["p.yaml:4", "--set train.epochs"]


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    [found] = problems("\n".join(lines))
    assert "grows too large" in str(found)


def test_more_than_a_preset_can_be_is_refused() -> None:
    [found] = problems("# " + "x" * 1_000_001)
    assert "characters" in str(found)


def test_files_that_are_no_presets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no preset"):
        spec.read(tmp_path / "missing.yaml")
    with pytest.raises(UsageError, match="is a folder"):
        spec.read(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"seed: 0\nabout: caf\xe9\n")
    with pytest.raises(PresetInvalid, match=r"latin\.yaml:2: holds bytes that are not UTF-8"):
        spec.read(latin)
    with pytest.raises(UsageError, match="cannot be read"):
        spec.read(Path("a" * 5000))
