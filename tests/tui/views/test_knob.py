"""What the knob's page says: plain words, nothing wider than there is room, and bits that compress to the right."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.params.preset import Pick as Rule
from engine.plotting.axes import scene
from engine.studies.knob import Answer, Technique
from engine.studies.rundir import RunDir
from tests.tui.views.knob_answers import BASELINE, BITS, CHANNELS, WEIGHTS, answer
from tui.views import knob
from tui.widgets.painted import Line
from tui.work.knob import Dial, Turning


class Turned(Turning):
    """A knob at its baseline, without a worker."""

    def __init__(self, technique: Technique, place: int, *answers: Answer) -> None:
        super().__init__(RunDir(Path("/w/studies/p-1")), 3)
        self.dials = [Dial(technique, place, {one.value: one for one in answers})]

    @property
    def baseline(self):  # type: ignore[no-untyped-def]
        return BASELINE


def texts(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_the_point_in_words() -> None:
    dial = Dial(WEIGHTS, 80, {0.8: answer(1, WEIGHTS, 0.8)})
    assert knob.point(dial, BASELINE) == (
        "weights at zero 80 %: 93.0 ± 0.4 % (−2.00 points against this trial), about 84.0 kB packed (4.4× smaller), "
        "41.0 M MACs, about 1.60 ms in torch, batch 1"
    )
    assert knob.point(Dial(BITS, 4), BASELINE) == "bits of a weight 4: …"
    as_it_is = replace(answer(1, WEIGHTS, 0.0, 0.95), error=0.0, costs=BASELINE.costs, added=[])
    assert knob.point(Dial(WEIGHTS, 0, {0.0: as_it_is}), BASELINE) == (
        "weights at zero 0 %: 95.00 % (as this trial), 370 kB packed, 41.0 M MACs, 1.60 ms in torch, batch 1"
    )


@pytest.mark.parametrize("width", [40, 76, 116])
@pytest.mark.parametrize("technique", [WEIGHTS, CHANNELS, BITS])
def test_it_stays_within_its_columns_and_says_how_far_it_is_known(technique: Technique, width: int) -> None:
    value = Dial(technique).value_at(2)
    pending, known = Turned(technique, 2), Turned(technique, 2, answer(1, technique, value))
    assert any("pending" in line for line in texts(knob.top(pending, width, 24)))
    assert any("refining: 214 of 2,000 images" in line for line in texts(knob.top(known, width, 24)))
    assert len(knob.top(pending, width, 24)) == len(knob.top(known, width, 24)) or width < 76
    for turning in (pending, known):
        shown = texts([*knob.top(turning, width, 24), *knob.beside(turning, width)])
        for height in (4, 10, 40):
            layers = knob.layers(turning.dials[0], width, height)
            assert len(layers) <= height
            shown += texts(list(layers))
        assert all(len(line) <= width for line in shown)


def test_reasons_are_given_in_the_words_of_the_engine() -> None:
    none = Technique(
        "bits", "bits of a weight", "bits", 2, 8, 1, 8, why_not="Its weights share their values."
    )
    (told,) = [line for line in texts(knob.top(Turned(none, 0), 90, 24)) if "share" in line]
    assert told == "bits: Its weights share their values."
    ended = Turned(WEIGHTS, 0)
    ended.reason = "The model of trial 3 is not in the store."
    lines = texts(knob.top(ended, 90, 24))
    assert ended.reason in lines and "a tries again" in lines


def test_bits_compress_to_the_right_and_only_what_was_asked_has_points() -> None:
    turning = Turned(BITS, 5, answer(1, BITS, 3.0), answer(2, BITS, 8.0))
    drawn = scene(knob.figure(turning, None, Rule()))
    assert drawn.x.categories == ("8", "7", "6", "5", "4", "3", "2")
    points = [(point.x, point.y) for point in drawn.figure.series[0].points if point.y is not None]
    assert points == [(0.0, 0.93), (5.0, 0.93)]
    (star,) = drawn.figure.series[1].points
    assert star.x == 5.0
