import random
from dataclasses import replace

from engine.charts.pareto import front, on_front, zoomed
from engine.plotting.axes import scene
from engine.plotting.figure import Figure, Reference
from engine.plotting.palette import STAR
from tests.engine.plotting.lines import series


def test_no_point_of_the_front_is_beaten_and_every_other_is() -> None:
    numbers = random.Random(0)
    points = [(numbers.randint(0, 12) / 10, numbers.randint(0, 12) / 10) for _ in range(80)]

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    kept = set(front(points, "lower", "higher"))
    for i, point in enumerate(points):
        assert (i in kept) == (not any(beats(other, point) for other in points))


def test_directions() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, 1.0), (2.0, 0.5)]
    assert front(points, "higher", "higher") == [1, 2]
    assert front(points, "lower", "lower") == [0, 3]
    assert front(points, "", "") == front(points, "lower", "higher") == [0, 1]


def test_equal_points_all_stay_and_nothing_gives_nothing() -> None:
    assert front([(1.0, 1.0), (1.0, 1.0)], "lower", "higher") == [0, 1]
    assert front([], "lower", "higher") == []


def curve() -> Figure:
    """Accuracy along a sparsity: little is lost until much is."""
    line = series("a", [0.1, 0.5, 0.8, 0.9, 0.95], [0.98, 0.981, 0.975, 0.6, 0.1])
    return Figure(
        series=(line,),
        references=(Reference("baseline", 0.983), Reference("chance", 0.1)),
        x_measure="sparsity",
        y_measure="accuracy",
    )


def test_the_front_up_to_the_pick_fills_the_chart() -> None:
    star = replace(series("pick", [0.8], [0.975]), marker=STAR, line=False)
    figure = zoomed(replace(curve(), series=(*curve().series, star)))
    drawn = scene(figure)
    assert 0.9 < drawn.y.low <= 0.975 and drawn.y.high >= 0.983, "from the pick up to the baseline"
    assert drawn.x.low <= 0.5 and 0.8 <= drawn.x.high < 0.9, "0.1 is beaten by 0.5"
    errors = replace(figure, y_scale="error")
    assert zoomed(errors).y_limits is not None and scene(zoomed(errors)).y.low > 0.9


def test_without_a_pick_the_better_half_of_the_front_is_shown() -> None:
    assert [point for _, point in on_front(curve())] == [1, 2, 3, 4]
    low, high = zoomed(curve()).y_limits or (0, 0)
    assert 0.5 < low <= 0.6 and high >= 0.981
    assert zoomed(Figure()) == Figure()
