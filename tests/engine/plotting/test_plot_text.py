"""Charts in the terminal: every series is told apart without colour, nothing leaves the size asked for."""

import io
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from engine.plotting import svg, text
from engine.plotting.figure import Figure, Reference
from engine.plotting.palette import ASCII_GLYPHS, COLOURS, GLYPHS, SHAPES, styles
from engine.text.tables import cell_width
from tests.engine.plotting.lines import series

SPARSITY = [i / 10 for i in range(10)]
LOCAL = [0.92, 0.92, 0.92, 0.919, 0.915, 0.905, 0.88, 0.80, 0.52, 0.12]
GLOBAL = [0.92, 0.92, 0.92, 0.92, 0.919, 0.917, 0.91, 0.895, 0.85, 0.61]
FIGURE = Figure(
    title="Local against global",
    x_measure="prune.weights.sparsity",
    x_label="sparsity",
    y_measure="accuracy",
    series=(series("local", SPARSITY, LOCAL), series("global", SPARSITY, GLOBAL)),
    references=(Reference("baseline", 0.9213),),
)
SIZES = [
    (80, 24),
    (120, 40),
    (200, 60),
    (40, 12),
    (20, 7),
    (19, 6),
    (80, 5),
    (3, 2),
    (1, 1),
    (0, 0),
    (300, 8),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_chart_is_never_larger_than_asked(width: int, height: int, ascii_only: bool) -> None:
    drawn = text.draw(FIGURE, width, height, colour=False, ascii_only=ascii_only).splitlines()
    assert len(drawn) <= height
    assert all(cell_width(line) <= width for line in drawn)
    rows = text.matrix(FIGURE, width, height, ascii_only)
    assert len(rows) <= height
    assert all(len(row) == width for row in rows)


def test_a_chart_wider_than_the_terminal_is_drawn_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = text.matrix(FIGURE, 160, 50)
    assert any("⠀" < cell.char <= "⣿" for row in rows for cell in row[150:])


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 12)])
def test_the_legend_names_every_series_with_its_marker(width: int, height: int) -> None:
    drawn = text.draw(FIGURE, width, height, colour=False)
    for entry in ("● local", "◆ global", "╌╌ baseline 92.13 %"):
        assert entry in drawn


def test_without_colour_there_are_no_escape_codes_and_with_it_the_same_characters() -> None:
    plain = text.draw(FIGURE, 80, 24, colour=False)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", text.draw(FIGURE, 80, 24, colour=True)) == plain


def test_a_plain_terminal_gets_ascii_only() -> None:
    assert text.draw(FIGURE, 80, 24, colour=False, ascii_only=True).isascii()


def test_drawing_is_deterministic_and_leaves_nothing_behind() -> None:
    first = text.draw(FIGURE, 80, 24, colour=True)
    text.draw(Figure(series=(series("other", [0, 1], [5, 500]),), y_scale="log"), 33, 11, colour=True)
    assert text.draw(FIGURE, 80, 24, colour=True) == first


def test_a_cursor_finds_the_marker_of_every_point() -> None:
    figure = Figure(series=(series("a", range(8), [1, 2, None, 4, 3, 2, 1, 5]),), y_measure="loss")
    rows = text.matrix(figure, 80, 24)
    found = text.places(figure, 80, 24)
    assert [place.point for place in found] == [0, 1, 3, 4, 5, 6, 7]
    assert all(rows[place.row][place.column].char == "●" for place in found)


def test_a_lone_point_between_gaps_is_seen_on_a_dense_line() -> None:
    ys = [1.0 if i < 199 else 9.0 if i == 205 else None for i in range(210)]
    rows = text.matrix(Figure(series=(series("a", range(210), ys),)), 80, 24)
    assert any(cell.char not in " ·" for row in rows[:8] for cell in row[70:])


def test_points_of_several_series_in_one_cell_are_marked_and_explained() -> None:
    assert "* several here" in text.draw(FIGURE, 80, 24, colour=False)
    apart = Figure(series=(series("a", [0, 1], [0, 1]), series("b", [0, 1], [5, 6])))
    assert "several" not in text.draw(apart, 80, 24, colour=False)


def test_points_a_log_axis_cannot_show_are_counted() -> None:
    figure = Figure(series=(series("a", [0, 1, 2], [1, 0, 100]),), y_scale="log")
    assert "a (1 at or below 0 not shown)" in text.draw(figure, 80, 24, colour=False)


def test_on_an_axis_of_errors_90_99_and_999_permille_are_equally_far_apart() -> None:
    figure = Figure(
        y_measure="accuracy", series=(series("a", [0, 1, 2, 3], [0.85, 0.99, 0.9995, 1]),), y_scale="error"
    )
    drawn = text.draw(figure, 80, 30, colour=False)
    rows = drawn.splitlines()
    assert "accuracy (log error scale)" in rows[0]
    at = {name: next(i for i, row in enumerate(rows) if f"{name} %┤" in row) for name in ("90", "99", "99.9")}
    assert abs((at["90"] - at["99"]) - (at["99"] - at["99.9"])) <= 1
    assert "a (1 at 100 % not shown)" in drawn
    for page in (svg.draw(figure), svg.draw(replace(figure, y_limits=(0.9, 0.999)))):
        assert "99.9 %" in page and "accuracy (log error scale)" in page


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (Figure(y_measure="accuracy"), "no values yet"),
        (Figure(series=(series("a", [0, 1], [None, float("nan")]),)), "no finite values"),
        (Figure(series=(series("a", [0, 1], [0, -3]),), y_scale="log"), "all values are at or below 0"),
    ],
)
def test_a_chart_of_nothing_says_so(figure: Figure, words: str) -> None:
    assert words in text.draw(figure, 80, 24, colour=False)


def test_a_window_too_small_gets_a_sentence() -> None:
    assert "12.00 % to 92.00 %" in " ".join(text.draw(FIGURE, 19, 6, colour=False).split())


def test_wide_and_unprintable_letters_do_not_shift_the_frame() -> None:
    figure = Figure(title="模型\x1b[31m\n", series=(series("层\t", ["甲", "乙"], [1, 2]),))
    drawn = text.draw(figure, 60, 20, colour=False)
    assert "\x1b" not in drawn
    assert len(drawn.splitlines()) <= 20
    assert all(cell_width(line) <= 60 for line in drawn.splitlines())


def test_the_first_eight_series_differ_in_marker_and_all_of_thirty() -> None:
    looks = styles(Figure(series=tuple(series(str(i), [], []) for i in range(30))))
    assert len({look.shape for look in looks[:8]}) == 8
    assert len({look.glyph for look in looks}) == 30
    assert len({look.ascii_glyph for look in looks}) == 30
    assert len(set(GLYPHS.values())) == len(set(ASCII_GLYPHS.values())) == len(SHAPES) + 1, "and the star"
    assert len({colour.code for colour in COLOURS}) == len(COLOURS)


def test_only_a_capable_terminal_gets_colour() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert text.wants_colour(Terminal(), {"TERM": "xterm-256color"})
    assert not text.wants_colour(Terminal(), {"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert not text.wants_colour(Terminal(), {"TERM": "dumb"})
    assert not text.wants_colour(io.StringIO(), {"TERM": "xterm-256color"})
    assert text.wants_ascii(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert not text.wants_ascii(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


@pytest.mark.parametrize("ends", [(0.02, 0.98), (0.86, 0.99), (0.9551, 0.9949), (0.3, 0.52)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_as_many_rows_lie_between_any_two_ticks_whatever_the_height(
    ends: tuple[float, float], ascii_only: bool
) -> None:
    figure = Figure(y_measure="accuracy", series=(series("one", [0, 1], ends),))
    for height in range(11, 61):
        rows = text.matrix(figure, 80, height, ascii_only)
        lines = ["".join(cell.char for cell in row) for row in rows]
        marks = [place for place, line in enumerate(lines) if re.match(r" *[\d.]+ %[┤+]", line)]
        assert len({below - above for above, below in pairwise(marks)}) <= 1, height
        assert len(marks) >= (3 if height > 20 else 2)
        highest = min(place.row for place in text.places(figure, 80, height, ascii_only))
        assert lines[highest].lstrip(" .0123456789%")[0] in "│┤|+", "the axis goes on to where the curve does"
