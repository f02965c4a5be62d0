"""Values as they are typed: what is read is what was meant, and what is shown reads back to the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params.rows import Row
from engine.presets.steps import Address
from tui.lab.fields import Field
from tui.lab.text import Default, Fixed, Swept, read, read_sweep, sweep_text, text_of

NUMBER, INTEGER, TEXT = Row("n", "number"), Row("i", "integer"), Row("t", "text")
LIST, MAPPING, SEED = Row("l", "list", item="text"), Row("m", "mapping"), Row("s", "integer", listable=True)
OPTIONAL = Row("o", "text", optional=True)


@pytest.mark.parametrize(
    ("row", "typed", "meant"),
    [
        (NUMBER, "0.5", Fixed(0.5)),
        (NUMBER, " 1e-3 ", Fixed(0.001)),
        (NUMBER, "half", Fixed("half")),
        (NUMBER, "9" * 400, Fixed("9" * 400)),
        (NUMBER, "0, 0.5", Swept([0, 0.5])),
        (NUMBER, "[0.5]", Swept([0.5])),
        (NUMBER, "0..0.9 by 0.1", Swept("0..0.9 by 0.1")),
        (NUMBER, "0, 0.5..0.9 by 0.1", Swept([0, "0.5..0.9 by 0.1"])),
        (NUMBER, "0..", Swept("0..")),
        (NUMBER, "[0, ", Swept("[0,")),
        (SEED, "0, 1, 2", Fixed([0, 1, 2])),
        (TEXT, "one, two", Fixed("one, two")),
        (TEXT, "0.5", Fixed("0.5")),
        (TEXT, "[resnet20, resnet32]", Swept(["resnet20", "resnet32"])),
        (OPTIONAL, "null", Fixed(None)),
        (OPTIONAL, "2:4", Fixed("2:4")),
        (LIST, "conv1, layer3.*", Fixed(["conv1", "layer3.*"])),
        (LIST, "conv1", Fixed(["conv1"])),
        (LIST, "[]", Fixed([])),
        (LIST, "[[conv1], []]", Swept([["conv1"], []])),
        (MAPPING, "width: 32, deep: true", Fixed({"width": 32, "deep": True})),
        (MAPPING, "{width: 32}", Fixed({"width": 32})),
        (MAPPING, "{width: ", Fixed("{width:")),
        (INTEGER, "true", Fixed(True)),
    ],
)
def test_what_is_typed_is_what_is_meant(row: Row, typed: str, meant: Any) -> None:
    assert read(row, typed) == meant


@pytest.mark.parametrize("row", [NUMBER, TEXT, LIST, MAPPING, SEED])
def test_nothing_typed_is_the_default(row: Row) -> None:
    assert isinstance(read(row, "  "), Default)


@pytest.mark.parametrize(
    "value",
    [[], ["a"], ["a", "b, c"], ["true", "1", ""], [1e-05, 3], [None, True], ["[x", 'q"uote', "a: b", "#no"]],
)  # fmt: skip
def test_a_list_shown_reads_back_to_itself(value: list[Any]) -> None:
    assert read(LIST, text_of(value)) == Fixed(value)


@pytest.mark.parametrize(
    "value", [{}, {"width": 32}, {"a": [1, "two, three"], "b": {"c": None}}, {"1": "x y"}]
)
def test_a_mapping_shown_reads_back_to_itself(value: dict[str, Any]) -> None:
    assert read(MAPPING, text_of(value)) == Fixed(value)


@pytest.mark.parametrize("values", [[0.5], [0, 0.25, 0.9], "0..0.9 by 0.1", [True, False]])
def test_a_sweep_shown_reads_back_to_itself(values: Any) -> None:
    assert read(NUMBER, sweep_text(values)) == Swept(values)
    assert read_sweep(NUMBER, sweep_text(values)) == values


@pytest.mark.parametrize("value", [0.1, 0.30000000000000004, 123456789, 1e300, 5e-324, 16777217.0])
def test_a_number_keeps_every_bit(value: float) -> None:
    assert read(NUMBER, text_of(value)) == Fixed(value)


PIECES = [
    *"[]{},:\"'\\ -.#&*!|>%@~_?",
    ", ",
    ": ",
    "0.5",
    "1.",
    ".nan",
    "-.inf",
    "1e400",
    "0x1",
    "null",
    "true",
    "a",
    "é字",
    "..",
]


@given(
    st.sampled_from([NUMBER, INTEGER, TEXT, LIST, MAPPING, SEED, OPTIONAL]),
    st.one_of(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text(max_size=20)),
)
def test_half_typed_or_not_it_is_shown_as_what_reads_back_to_the_same(row: Row, typed: str) -> None:
    meant = read(row, typed)
    if isinstance(meant, Fixed) and meant.value is not None:
        shown = Field(Address(None, row.path), row, meant.value, None, row.path).text
    elif isinstance(meant, Swept):
        shown = sweep_text(meant.values)
    else:
        return
    again = read(row, shown)
    assert again == meant or repr(again) == repr(meant)  # NaN is not itself
