"""What a sweep section means."""

from typing import Any

import pytest

from engine.presets import sweep
from engine.presets.yaml.tree import load


def axes(text: str) -> list[sweep.Axis]:
    root, problems = load(text, str)
    assert root is not None
    found, invalid = sweep.read(root)
    assert problems + invalid == []
    return found


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("[0, 0.5]", [0, 0.5]),
        ("0..0.3 by 0.1", [0.0, 0.1, 0.2, 0.3]),  # not 0.30000000000000004
        ("0..0.35 by 0.1", [0.0, 0.1, 0.2, 0.3]),  # the end only when hit
        ("1..9 by 4", [1, 5, 9]),
        ("0.9..0.7 by -0.1", [0.9, 0.8, 0.7]),
        ("1e-3..3e-3 by 1e-3", [0.001, 0.002, 0.003]),
        ("5..5 by 1", [5]),
        ("[0..0.2 by 0.1, 0.9]", [0.0, 0.1, 0.2, 0.9]),
        ("[true, 1]", [True, 1]),
        ("[[], [conv1]]", [[], ["conv1"]]),
        ("[one-shot, {kind: cubic, rounds: 3}]", ["one-shot", {"kind": "cubic", "rounds": 3}]),
    ],
)
def test_values_of_an_axis(written: str, values: list[Any]) -> None:
    [axis] = axes(f"x: {written}")
    assert list(axis.values("x")) == values
    assert [type(value) for value in axis.values("x")] == [type(value) for value in values]


def test_a_range_of_ninety_steps_has_no_rounding_error() -> None:
    [axis] = axes("x: 0..0.9 by 0.01")
    assert axis.values("x") == tuple(index / 100 for index in range(91))


def test_zipped_lists_are_one_axis() -> None:
    first, second = axes("a: [1, 2]\nzip: {b: [3, 4], c: 5..6 by 1}\n")
    assert first.paths == ("a",)
    assert second.paths == ("b", "c")
    assert [[node.plain() for node in point] for point in second.points] == [[3, 5], [4, 6]]


def test_a_list_of_variants_names_the_points_of_a_zip() -> None:
    first, second = axes("variant: [1, 2]\nzip: {variant: [plain, fancy], b: [3, 4]}\n")
    assert not first.named and second.named
    assert second.column_names == ("variant",) and second.values("b") == (3, 4)
    root, _ = load("zip: {variant: [plain, fancy], b: [3, 4]}\na: [1]\n", str)
    assert sweep.column_names(root) == ("a", "variant") and sweep.paths(root) == ("a", "variant", "b")


@pytest.mark.parametrize("names", ["[plain, plain]", "[1, 2]", "[[a], [b]]", "[true, false]", "['', plain]"])
def test_names_of_variants_are_texts_of_their_own(names: str) -> None:
    root, _ = load(f"zip: {{variant: {names}, b: [3, 4]}}", str)
    assert root is not None
    _, problems = sweep.read(root)
    assert problems and all("text of its own" in problem.allowed for problem in problems)


def test_a_sweep_written_out_again_is_the_same() -> None:
    found = axes("zip: {variant: [x, y], c: [5, 6]}\n")
    assert sweep.plain(found) == {"zip": {"variant": ["x", "y"], "c": [5, 6]}}
    found = axes("a: 0..0.2 by 0.1\nzip: {b: [3, 4], c: [5, 6]}\n")
    assert sweep.plain(found) == {"a": [0.0, 0.1, 0.2], "zip": {"b": [3, 4], "c": [5, 6]}}
