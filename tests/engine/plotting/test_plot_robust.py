"""Nothing raises, whatever the data: an exception while a chart is drawn would end the terminal lab."""

import math
import random
import xml.etree.ElementTree as ET

import pytest

from engine.measures.table import TABLE
from engine.plotting import csv, png, svg, text
from engine.plotting.axis import Scale
from engine.plotting.figure import Figure, Limits, Point, Reference, Series, X, decimate
from engine.plotting.legend import fitted
from engine.text.tables import cell_width
from tests.engine.plotting.lines import series

SCALES: tuple[Scale, ...] = ("linear", "linear", "log", "error")
NUMBERS = (
    0.0,
    -0.0,
    1.0,
    0.1,
    -3.5,
    1e-300,
    1e300,
    -1e300,
    5e-324,
    1.7e308,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
)
TEXTS = ("", "l1", "模型", "\x1b[2J", "a" * 300, "é", "\ud800")


def number(dice: random.Random) -> float | None:
    """Ordinary, extreme and missing values."""
    return dice.choice(
        [*NUMBERS, None, dice.uniform(-1, 1), dice.gauss(0, 10 ** dice.uniform(-8, 8)), dice.randrange(50)]
    )


def any_x(dice: random.Random, words: bool) -> X:
    return dice.choice(TEXTS) if words and dice.random() < 0.5 else number(dice)


def any_limits(dice: random.Random) -> Limits | None:
    if dice.random() < 0.6:
        return None
    return tuple(dice.choice([*NUMBERS, 0.5, 2.0]) for _ in range(2))  # type: ignore[return-value]


def any_figure(seed: int) -> Figure:
    """Any figure the model allows, most of them absurd."""
    dice = random.Random(seed)
    words = dice.random() < 0.2
    tame = dice.choice([None, 0.0, 0.9137, 1e-300, 1e300])
    lines = []
    for i in range(dice.choice([0, 1, 1, 2, 3, 12, 40])):
        points = (
            Point(
                any_x(dice, words), number(dice) if tame is None else tame, dice.choice([None, number(dice)])
            )
            for _ in range(dice.choice([0, 1, 2, 10, 60]))
        )
        lines.append(Series(dice.choice(TEXTS) + str(i), tuple(points), line=dice.random() < 0.8))
    return Figure(
        title=dice.choice(TEXTS),
        x_label=dice.choice(TEXTS),
        y_label=dice.choice(TEXTS),
        series=tuple(lines),
        references=tuple(Reference("r", y) for y in dice.sample(NUMBERS, dice.randrange(3))),
        x_scale=dice.choice(SCALES),
        y_scale=dice.choice(SCALES),
        x_limits=any_limits(dice),
        y_limits=any_limits(dice),
        x_measure=dice.choice(["", "epoch", *TABLE]),
        y_measure=dice.choice(["", *TABLE]),
    )


@pytest.mark.parametrize("seed", range(150))
def test_any_figure_can_be_drawn_in_the_terminal(seed: int) -> None:
    figure, dice = any_figure(seed), random.Random(-seed)
    width, height = dice.choice([(80, 24), (120, 40), (20, 6), (21, 9), (7, 3), (60, 8)])
    drawn = text.draw(figure, width, height, colour=False, ascii_only=seed % 3 == 0)
    assert all(cell_width(line) <= width for line in drawn.splitlines())
    assert len(drawn.splitlines()) <= height
    text.draw(figure, width, height, colour=True)
    rows = text.matrix(figure, width, height)
    assert all(
        place.row < len(rows) and 0 <= place.column < width for place in text.places(figure, width, height)
    )
    assert all(len(row) <= width for row in fitted(figure, width, height))


@pytest.mark.parametrize("seed", range(60))
def test_any_figure_can_be_written_to_files(seed: int) -> None:
    figure = any_figure(seed)
    page = svg.draw(figure, *random.Random(-seed).choice([(720, 420), (300, 200), (0, -5)]))
    ET.fromstring(page)
    assert "nan" not in page.replace("finance", "")
    assert csv.write(figure)
    if seed % 6 == 0:
        assert png.draw(figure, 300, 200, scale=1).startswith(b"\x89PNG")


def test_of_a_hundred_thousand_points_only_those_that_can_be_seen_are_drawn() -> None:
    line = series("loss", range(100_000), [math.sin(i / 900) for i in range(100_000)])
    assert len(decimate(line, 120).points) <= 4 * 120 + 2
    assert len(text.matrix(Figure(series=(line,)), 120, 40)) == 40
