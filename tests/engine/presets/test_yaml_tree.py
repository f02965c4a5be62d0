"""YAML 1.2's core schema, places, and writing that reads back."""

import json
from typing import Any

import pytest

from engine.presets.yaml.tree import Mapping, Node, Scalar, load, put, resolve, to_yaml


def tree(text: str) -> Node:
    root, problems = load(text, lambda line: f"p.yaml:{line}")
    assert problems == []
    assert root is not None
    return root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:4", "2:4"),  # base 60 in YAML 1.1
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-01", "2024-01-01"),
        ("010", 10),  # octal in YAML 1.1
        ("0o10", 8),
        ("0xff", 255),
        ("1e-3", 0.001),  # text in YAML 1.1
        ("1_000", "1_000"),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0", 0),
        ("+3", 3),
        ("True", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("0..0.9 by 0.1", "0..0.9 by 0.1"),
        ("50%", "50%"),
    ],
)
def test_plain_values_follow_the_core_schema(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)
    assert tree(f"a: {text}").plain() == {"a": value}


def test_characters_that_json_escapes_in_two_halves_are_whole() -> None:
    text = {"about": "half of \U0001f600"}
    assert tree(json.dumps(text)).plain() == text


def test_quoted_values_are_text() -> None:
    assert tree("a: '1'\nb: \"true\"\nc: |\n  2\n").plain() == {"a": "1", "b": "true", "c": "2\n"}


def test_every_node_knows_its_line_and_path() -> None:
    root = tree("about: x\nsteps:\n  - train:\n      epochs: 3\n")
    assert isinstance(root, Mapping)
    node: Any = root.items["steps"]
    assert (node.place, node.path) == ("p.yaml:2", "steps")
    node = node.items[0].items["train"]
    assert (node.place, node.path) == ("p.yaml:3", "steps[0].train")
    node = node.items["epochs"]
    assert (node.place, node.path, node.text) == ("p.yaml:4", "steps[0].train.epochs", "3")


def test_an_alias_stands_for_its_anchor() -> None:
    assert tree("a: &x {b: 1}\nc: *x\n").plain() == {"a": {"b": 1}, "c": {"b": 1}}


def test_problems_within_readable_text_do_not_hide_the_rest() -> None:
    root, problems = load("a: 1\na: 2\nb: !!int 3\nc: .nan\nd: 4\n", lambda line: f"p.yaml:{line}")
    assert [(problem.place, problem.path) for problem in problems] == [
        ("p.yaml:2", "a"),
        ("p.yaml:3", "b"),
        ("p.yaml:4", "c"),
    ]
    assert root is not None
    assert root.plain()["a"] == 1
    assert root.plain()["d"] == 4


def test_putting_a_value_in_makes_what_is_missing_and_leaves_the_original() -> None:
    root = tree("a: {b: 1}")
    value = Scalar(5, "--set x", "x")
    assert put(root, ("a", "c", "d"), value).plain() == {"a": {"b": 1, "c": {"d": 5}}}
    assert root.plain() == {"a": {"b": 1}}


def test_a_variant_written_by_name_takes_parameters() -> None:
    root = tree("schedule: cubic")
    assert put(root, ("schedule", "rounds"), Scalar(5, "", "")).plain() == {
        "schedule": {"kind": "cubic", "rounds": 5}
    }


@pytest.mark.parametrize(
    "text",
    [
        "2:4",
        "1e-3",
        "yes",
        "null",
        "",
        "~",
        "<<",
        "0x1F",
        "0o7",
        ".5",
        "True",
        "- a",
        "a: b",
        "#",
        " x ",
        "é\u2028\x85",
        "a\nb\n",
        "\t",
        "&a",
        "*a",
        "!t",
        "%",
        "@",
        "[",
        "{",
        "'",
        '"',
        "-",
        "?",
        "..",
        "1.5.3",
        "word " * 60,
    ],
)
def test_any_text_reads_back_as_it_was_written(text: str) -> None:
    document = {"value": text, "list": [text], f"x{text}": 1}
    assert tree(to_yaml(document)).plain() == document


def test_any_number_reads_back_as_it_was_written() -> None:
    document = {"values": [0, -1, 10**20, 0.1, 1e-5, 1e22, 5e-324, -0.0, 1 / 3, True, None, [], {}]}
    assert tree(to_yaml(document)).plain() == document
