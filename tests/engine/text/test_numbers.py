"""Numbers are written the way people read them, and a table never leaves its width."""

import math

import pytest

from engine.measures import table
from engine.text import numbers, tables


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.9137, "91.37 %"),
        ("validation_accuracy", 1.0, "100.00 %"),
        ("sparsity", 0.5, "50.0 %"),
        ("prune.weights.sparsity", 0.95, "95.0 %"),
        ("loss", 0.23456, "0.2346"),
        ("parameters", 1_080_000, "1.08 M"),
        ("parameters", 512, "512"),
        ("macs", 40_600_000, "40.6 MMACs"),
        ("size.packed", 4_321_000, "4.32 MB"),
        ("size.gzip", 0, "0 B"),
        ("latency.onnxruntime.1", 0.684, "0.68 ms"),
        ("latency.torch.32", 16.94, "16.9 ms"),
        ("latency.torch.32", 142.3, "142 ms"),
        ("speedup.torch.1", 3.71, "3.7×"),
        ("speedup.torch.1", 1.02, "1.02×"),
        ("seconds", 80, "1 m 20 s"),
        ("peak_memory", 1_500_000_000, "1.50 GB"),
        ("epochs", 12, "12"),
        ("sparsity", 0.9996, "99.96 %"),
        ("sparsity", 0.0002, "0.02 %"),
        ("accuracy", 0.99998, "99.998 %"),
        ("accuracy", 1 - 1e-12, "100.00 %"),
        ("size.packed", -0.0, "0 B"),
    ],
)
def test_a_measure_is_written_in_its_unit(name: str, value: float, text: str) -> None:
    assert table.measure_text(name, value) == text


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("accuracy", -0.0035, "-0.35 points"),
        ("map50_95", 0.012, "+1.20 points"),
        ("sparsity", 0.5, "+50.0 points"),
        ("distillation_gain", 0.004, "+0.40 points"),
        ("parameters", 1200, "+1.20 k"),
        ("size.packed", -4_000, "-4.00 kB"),
        ("accuracy", None, numbers.MISSING),
        ("accuracy", -1e-17, "0.00 points"),
        ("sparsity", 0.9996, "+99.96 points"),
        ("speedup.torch.1", -0.001, "0.00×"),
        ("distillation_gain", -1e-6, "0.00 points"),
    ],
)
def test_a_difference_has_its_sign_and_is_in_points_between_percentages(
    name: str, change: float | None, text: str
) -> None:
    assert table.change_text(name, change) == text


def test_a_gain_is_a_difference_already() -> None:
    assert table.measure_text("distillation_gain", 0.0035) == "0.35 points"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 10**400])
def test_what_is_no_number_is_a_dash(value: float | None) -> None:
    for name in (*table.TABLE, "anything"):
        assert table.measure_text(name, value) == numbers.MISSING


@pytest.mark.parametrize("value", [0.0, 1e-300, -1e-300, 1e300, -1e300, 0.1 + 0.2, 999.9999, 10**30])
def test_every_measure_stays_short_at_any_magnitude(value: float) -> None:
    for name in (*table.TABLE, "anything"):
        assert len(table.measure_text(name, value)) <= 24


def test_rounding_never_shows_a_thousand_of_a_smaller_unit() -> None:
    assert numbers.count(999_499) == "999 k"
    assert numbers.count(999_500) == "1.00 M"


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "text"),
    [
        ("accuracy", 0.914, 0.003, "91.4 ± 0.3 %"),
        ("accuracy", 0.9137, 0.0012, "91.37 ± 0.12 %"),
        ("accuracy", 0.9137, 0.0, "91.37 ± 0.00 %"),
        ("latency.torch.1", 16.94, 0.52, "16.9 ± 0.5 ms"),
        ("parameters", 1_080_000, 12_000, "1.080 ± 0.012 M"),
        ("speedup.torch.1", 3.7, 0.2, "3.7 ± 0.2×"),
    ],
)
def test_mean_and_deviation_have_matching_digits(name: str, mean: float, deviation: float, text: str) -> None:
    assert table.measure_text(name, mean, deviation) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (42, "42 s"),
        (59.7, "1 m 0 s"),
        (80, "1 m 20 s"),
        (11_100, "3 h 5 m"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "just now"), (40, "40 s ago"), (10_900, "3 h ago"), (500_000, "5 d ago")]
)
def test_age_says_how_long_ago(seconds: float, text: str) -> None:
    assert numbers.age(seconds) == text


def test_every_measure_of_a_model_says_which_direction_is_better() -> None:
    of_the_training = {"learning_rate", "validation_images"}
    assert {name for name, known in table.TABLE.items() if not known.better} == of_the_training


HEADERS = ("trial", "scope", "accuracy", "size")
ROWS = (("1", "global", "91.37 %", "1.08 MB"), ("12", "local, all but the first layer", "9.10 %", "800 kB"))


def test_a_table_aligns_numbers_right_and_text_left() -> None:
    lines = tables.table(HEADERS, ROWS, ("right", "left", "right", "right")).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].startswith("    1  global")
    assert lines[2].endswith("91.37 %  1.08 MB")


@pytest.mark.parametrize("width", range(1, 70))
def test_a_table_is_never_wider_than_asked_and_never_cuts_a_number(width: int) -> None:
    text = tables.table(HEADERS, ROWS, ("right", "left", "right", "right"), width=width)
    assert all(tables.cell_width(line) <= width for line in text.splitlines())
    if width >= 12:
        for number in ("91.37 %", "1.08 MB"):
            assert number in text or number[:3] not in text


def test_a_table_says_that_columns_were_dropped() -> None:
    assert tables.table(HEADERS, ROWS, width=30).splitlines()[0].endswith("…")


def test_a_table_for_plain_terminals_is_ascii() -> None:
    assert tables.table(("größe", "±"), [("3.7×", "∅")], ascii_only=True, width=10).isascii()


def test_wide_letters_count_as_two_columns() -> None:
    assert tables.cell_width("模型") == 4
    assert tables.cell_width("e\u0301 नमस्ते") == 6  # marks are drawn over the letter before
    assert tables.cell_width("\u1112\u1161\u11ab") == 2  # a Korean syllable, taken apart as macOS does
    assert tables.cell_width("a\u202eb") == 3  # what can't be shown is a blank
    assert tables.cell_width(tables.abbreviate("模型模型模型", 6)) <= 6


@pytest.mark.parametrize("width", [10, 40, 60, 80])
def test_a_name_that_has_to_be_typed_is_never_cut(width: int) -> None:
    name = "imagenet-resnet50-channels-42-of-a-kind"
    rows = [[name, "done", "14/14", "a/net.py:build"], ["x", "failed", "1/14", "resnet20"]]
    text = tables.table(
        ["study", "state", "trials", "model"], rows, ["whole", "left", "right", "left"], width
    )
    assert text.splitlines()[2].split()[0] == name
    assert max(map(len, text.splitlines())) <= max(width, len(name))


def test_models_are_told_apart_by_the_ends_of_their_paths() -> None:
    paths = ["/home/me/net.py:build", "/srv/deep/net.py:build", "/tmp/own.py:build"]
    ends = {"net.py:build": "net.py:build", "/tmp/net.py:build": "net.py:build"}
    assert list(tables.path_ends(paths).values()) == [
        "me/net.py:build",
        "deep/net.py:build",
        "tmp/own.py:build",
    ]
    assert tables.path_ends(ends) == {"/tmp/net.py:build": "net.py:build"}
    assert tables.path_ends(["/a//b", "/a/b"]) == {"/a//b": "b", "/a/b": "b"}
