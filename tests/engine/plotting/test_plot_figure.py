"""The figure model: gaps, categories, limits and decimation mean the same in every drawing."""

import math

import pytest

from engine.plotting import text
from engine.plotting.axes import clipped, error_bars, runs, scene
from engine.plotting.axis import Scale
from engine.plotting.drawing import Stroke, layout
from engine.plotting.figure import Figure, Point, Reference, Series, decimate
from tests.engine.plotting.lines import series


@pytest.mark.parametrize("gap", [None, math.nan, math.inf, -math.inf])
def test_a_gap_splits_a_line(gap: float | None) -> None:
    drawn = scene(Figure(series=(series("a", [0, 1, 2, 3, 4], [1, 2, gap, 4, 5]),)))
    assert [len(run) for run in runs(drawn.figure.series[0], drawn.x, drawn.y)] == [2, 2]


def test_zero_is_a_gap_on_a_log_axis() -> None:
    drawn = scene(Figure(series=(series("a", [0, 1, 2], [1, 0, 100]),), y_scale="log"))
    assert [len(run) for run in runs(drawn.figure.series[0], drawn.x, drawn.y)] == [1, 1]


def test_text_on_x_makes_categories_shared_by_all_series() -> None:
    drawn = scene(Figure(series=(series("a", ["l1", "l2"], [1, 2]), series("b", ["l2", "random"], [1, 2]))))
    assert drawn.x.categories == ("l1", "l2", "random")
    assert [point.x for point in drawn.figure.series[1].points] == [1.0, 2.0]


def test_accuracy_axes_stay_within_0_and_100_percent() -> None:
    drawn = scene(Figure(series=(series("a", [0, 1], [0.97, 1.0]),), y_measure="accuracy"))
    assert 0 <= drawn.y.low <= 0.97
    assert drawn.y.high == 1.0


def test_cost_axes_start_at_zero_so_that_noise_looks_like_noise() -> None:
    drawn = scene(Figure(series=(series("a", [0, 1], [16.8, 17.1]),), y_measure="latency.torch.1"))
    assert drawn.y.low == 0


def test_error_bars_and_reference_lines_are_within_the_limits() -> None:
    figure = Figure(series=(series("a", [0, 1], [10, 11], [5, 1]),), references=(Reference("baseline", 30),))
    drawn = scene(figure)
    assert drawn.y.low <= 5
    assert drawn.y.high >= 30


@pytest.mark.parametrize(
    ("name", "ys", "deviation", "ends"),
    [
        ("accuracy", (0.02, 0.99), 0.05, ((0.0, 0.07), (0.94, 1.0))),
        ("latency.torch.1", (1.0, 9.0), 3.0, ((0.0, 4.0), (6.0, 12.0))),
        ("loss", (1.0, 9.0), 3.0, ((-2.0, 4.0), (6.0, 12.0))),
    ],
)
def test_error_bars_end_where_the_measure_does(
    name: str, ys: tuple[float, ...], deviation: float, ends: tuple[tuple[float, float], ...]
) -> None:
    line = series("a", [0, 1], ys, [deviation] * 2)
    drawn = scene(Figure(series=(line,), y_measure=name))
    bars = error_bars(drawn.figure.series[0], drawn.x, drawn.y)
    for bar, (low, high) in zip(bars, ends, strict=True):
        assert [y for _, y in bar] == pytest.approx([drawn.y.position(low), drawn.y.position(high)])
    if name == "accuracy":
        assert (drawn.y.low, drawn.y.high) == (0.0, 1.0)


def test_categories_are_not_joined_by_lines() -> None:
    named = Figure(series=(series("a", ["l1", "l2", "random"], [1, 2, 3]),))
    numbered = Figure(series=(series("a", [0, 1, 2], [1, 2, 3]),))
    strokes = [sum(isinstance(item, Stroke) for item in layout(f, 720, 420).items) for f in (named, numbered)]
    assert strokes[1] - strokes[0] >= 2  # the line, and its sample in the legend
    drawn = [text.draw(figure, 60, 20, colour=False) for figure in (named, numbered)]
    braille = [sum("⠀" < char <= "⣿" for char in chart) for chart in drawn]
    assert braille[0] == 0 < braille[1]
    assert drawn[0].count("●") == 4  # three points and the legend


def test_fixed_limits_are_kept_and_impossible_ones_ignored() -> None:
    line = (series("a", [0, 1], [0.2, 0.4]),)
    assert (
        scene(Figure(series=line, y_limits=(0, 1))).y.low,
        scene(Figure(series=line, y_limits=(0, 1))).y.high,
    ) == (0, 1)
    for limits in ((1.0, 1.0), (math.nan, 1.0), (0.0, math.inf)):
        drawn = scene(Figure(series=line, y_limits=limits))
        assert drawn.y.low <= 0.2 < 0.4 <= drawn.y.high


def test_lines_are_cut_at_the_edge_of_the_chart() -> None:
    assert clipped([(-1.0, 0.5), (2.0, 0.5)]) == [[(0.0, 0.5), (1.0, 0.5)]]
    assert clipped([(0.2, 2.0), (0.8, 3.0)]) == []


def test_decimation_keeps_extremes_ends_and_gaps_and_bounds_the_count() -> None:
    ys: list[float | None] = [math.sin(i / 50) for i in range(100_000)]
    ys[31_234], ys[77_777], ys[50_000] = 9.0, -9.0, None
    thin = decimate(series("a", range(100_000), ys), 80)
    kept = {point.y for point in thin.points}
    assert {9.0, -9.0, None, ys[0], ys[-1]} <= kept
    assert len(thin.points) <= 2 * 160 + 3


def test_decimation_keeps_the_order_given() -> None:
    thin = decimate(series("a", [i * 7919 % 10_000 for i in range(10_000)], range(10_000)), 40)
    heights = [point.y for point in thin.points if point.y is not None]
    assert heights == sorted(heights)


def test_few_points_are_not_decimated() -> None:
    line = Series("a", (Point(0, 1), Point(1, math.nan), Point(2, 3)))
    assert decimate(line, 80) is line


@pytest.mark.parametrize("scale", ["linear", "log", "error"])
def test_points_keep_what_they_stand_for_when_thinned_and_placed(scale: Scale) -> None:
    heights = [math.sin(i / 50) for i in range(10_000)]
    points = [Point(i, y, owner=("trial", i)) for i, y in enumerate(heights)]
    thin = decimate(Series("a", tuple(points)), 80)
    assert len(thin.points) < 1000
    placed = scene(Figure(series=(thin,), y_scale=scale)).figure.series[0]
    for before, after in zip(thin.points, placed.points, strict=True):
        assert before.owner == after.owner == ("trial", before.x)


def test_figures_are_equal_where_they_look_alike() -> None:
    one, other = (Figure(series=(Series("a", (Point(0, 1, owner=owner),)),)) for owner in ([1], [2]))
    assert one == other and hash(one) == hash(other), "what a point stands for may have no hash"
    assert one != Figure(series=(Series("a", (Point(0, 2, owner=[1]),)),))
