"""What a network does not allow is not proposed."""

from typing import Any

import pytest

from engine.errors import UsageError
from engine.presets import spec
from engine.presets.space import Dimension, Space
from engine.search import reach
from engine.search.bounds import Bound, clipped, within
from engine.search.task import Task

SPEEDUP, ROUND_TO, FLOOR = "prune.channels.speedup", "prune.channels.round_to", "prune.channels.floor"
PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps: [{train: {epochs: 2}}]
search:
  smallest: size.packed
  within: {accuracy: -1 point}
  budget: {trials: 8}
  over:
    - OVER
    - prune.channels: {id: again, speedup: 2..4}
    - finetune: {epochs: 1..2}
"""


def read(over: str) -> spec.Spec:
    return spec.parse(PRESET.replace("OVER", over), "p")


def space(*dimensions: Dimension) -> Space:
    return Space(("prune.channels",), dimensions)


def ranged(low: float, high: float, *, opens: bool = False) -> Dimension:
    return Dimension(SPEEDUP, 0, ("speedup",), low=low, high=high, opens=opens)


def test_ranges_and_lists_end_where_nothing_more_is_in_reach() -> None:
    bounds = [Bound(SPEEDUP, 5.43, {ROUND_TO: 1}), Bound(SPEEDUP, 2.12, {ROUND_TO: 8})]
    (found,) = clipped(space(ranged(1, 8, opens=True)), bounds).dimensions
    assert (found.low, found.high, found.between(1.0), found.opens) == (1, 5.43, 5.43, True)
    (found,) = clipped(space(Dimension(SPEEDUP, 0, ("speedup",), (8, 2, 4))), bounds).dimensions
    assert found.values == (2, 4)
    (found,) = clipped(space(ranged(1, 4)), bounds).dimensions
    assert found.high == 4
    (found,) = clipped(space(ranged(5.43, 8)), bounds).dimensions
    assert found.between(0.7) == 5.43


@pytest.mark.parametrize("most", [1, 3])
def test_whole_numbers_end_with_a_whole_number(most: int) -> None:
    found = read("prune.blocks: {count: 1..8}")
    assert found.space is not None
    path = "prune.blocks.count"
    bounds = [Bound(path, float(most), {})]
    point = {one.path: one.between(1.0) for one in found.space.dimensions}
    (first, *_) = clipped(found.space, bounds).dimensions
    for value in (first.between(1.0), (within(found.space, bounds, point) or {})[path]):
        assert value == most and isinstance(value, int)
    (blocks, *_) = reach._techniques(found)
    assert blocks["furthest"] and blocks["fields"] == [["count"]]


@pytest.mark.parametrize(
    ("point", "speedup"),
    [
        ({SPEEDUP: 8, ROUND_TO: 1}, 5.43),
        ({SPEEDUP: 4, ROUND_TO: 1}, 4),
        ({SPEEDUP: 8, ROUND_TO: 8}, 2.12),
        ({SPEEDUP: 8, ROUND_TO: "auto"}, None),  # less than the range begins with
    ],
)
def test_how_far_a_value_goes_hangs_on_those_beside_it(point: dict[str, Any], speedup: float | None) -> None:
    found = space(ranged(2, 9), Dimension(ROUND_TO, 0, ("round_to",), (1, 8, "auto")))
    most = {1: 5.43, 8: 2.12, "auto": 1.5}
    bounds = [Bound(SPEEDUP, reached, {ROUND_TO: at}) for at, reached in most.items()]
    expected = None if speedup is None else point | {SPEEDUP: speedup}
    assert within(found, bounds, point) == expected


def test_between_the_ends_of_a_range_the_nearer_one_decides() -> None:
    found = space(ranged(2, 9), Dimension(FLOOR, 0, ("floor",), low=0.1, high=0.5))
    bounds = [Bound(SPEEDUP, 6.0, {FLOOR: 0.1}), Bound(SPEEDUP, 3.0, {FLOOR: 0.5})]
    assert within(found, bounds, {SPEEDUP: 8, FLOOR: 0.2}) == {SPEEDUP: 6.0, FLOOR: 0.2}
    assert within(found, bounds, {SPEEDUP: 8, FLOOR: 0.4}) == {SPEEDUP: 3.0, FLOOR: 0.4}


def test_each_combination_of_what_decides_is_tried_alone() -> None:
    first, again = reach._techniques(
        read("prune.channels: {speedup: 1..8, round_to: [1, 8], floor: 0.1..0.5}")
    )
    assert [(one["at"][ROUND_TO], one["at"][FLOOR]) for one in first["furthest"]] == [
        *((1, 0.1), (1, 0.5), (8, 0.1), (8, 0.5))
    ]
    assert all(one["step"]["speedup"] == 8 for one in first["furthest"])
    # The network as it is built does not tell what is left behind the first.
    assert again["furthest"] == []


def test_a_range_that_is_out_of_reach_is_refused() -> None:
    task = Task.of(read("prune.channels: {speedup: 6..8}"))
    rows = [{"name": "as it is", "level": "", "macs": 1000}]
    with pytest.raises(UsageError, match=r"speedup can't be reached: 5\.43 is the most") as caught:
        reach.check(task, rows, [Bound(SPEEDUP, 5.43, {})])
    assert "6..8" in caught.value.detail
    reach.check(task, rows, [Bound(SPEEDUP, 6.5, {})])
