import random

from engine.charts.pareto import front


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
