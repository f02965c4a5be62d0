"""What techniques can reach: limits that can't be met are refused with what is nearest, before anything is trained."""

from typing import Any

import pytest

from engine.errors import UsageError
from engine.params import step_of
from engine.presets import spec
from engine.search import reach
from engine.search.task import Task

PRESET = """\
model: {{name: resnet20}}
data: {{name: digits}}
steps:
  - train: {{epochs: 2}}
search:
  smallest: {goal}
  within: {{accuracy: -1 point, {limit}}}
  budget: {{trials: 8}}
  over:
    - prune.channels: {{speedup: 1..4, criterion: [l2, taylor], repair: [true, false]}}
    - finetune: {{epochs: 1..2}}
    - quantize.weights: {{bits: 4..8, enabled: [true, false]}}
"""


def task(limit: str, goal: str = "size.packed") -> Task:
    return Task.of(spec.parse(PRESET.format(limit=limit, goal=goal), "p"))


def row(name: str, level: str, packed: int, macs: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "level": level,
        "size": {"packed": packed},
        "macs": macs,
        "parameters": packed,
        **more,
    }


ROWS = [
    row("as it is", "", 1000, 1000),
    row("prune.channels", "most", 300, 250),
    row("quantize.weights", "most", 200, 1000),
    row("all together", "most", 60, 250),
    {"name": "factorize", "level": "most", "unavailable": "it has no layer to split"},
]


def test_what_is_not_known_of_all_together_is_not_said_to_be_out_of_reach() -> None:
    apart = [*ROWS[:3], {"name": "all together", "level": "most", "unavailable": "they don't go together"}]
    asked = task("size.packed: 60 B")
    reach.check(asked, apart)
    assert "may be met" in "\n".join(reach.lines(asked, apart))
    with pytest.raises(UsageError):
        reach.check(asked, ROWS[:3])


def test_every_value_of_a_list_is_tried_however_it_is_written() -> None:
    listed = PRESET.replace("bits: 4..8", "bits: [8, 2, 6, 4]").replace(
        "- finetune",
        "- factorize: {{scheme: [channel, spatial, tucker], rank: {{kind: ratio, ratio: 0.2..0.9}}}}\n    - finetune",
    )
    found = spec.parse(listed.format(limit="macs: 50 %", goal="macs"), "p")
    levels = {one["name"]: one["levels"] for one in reach._techniques(found)}
    assert {level["bits"] for level in levels["quantize.weights"]} >= {2, 8}
    assert len({level["scheme"] for level in levels["factorize"]}) == 3


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("size.packed: 100 B", "can be met; nearest is 60 B (all together, most)"),
        ("size.packed: 50 B", "may be met"),
        ("macs: 25 %", "can be met; nearest is 250 MACs (prune.channels, most)"),
        ("latency.onnxruntime.1: 1 ms", "not known before it is measured"),
    ],
)
def test_what_can_be_met_is_told_with_what_is_nearest(limit: str, told: str) -> None:
    asked = task(limit)
    reach.check(asked, ROWS)
    assert any(told in line for line in reach.lines(asked, ROWS))
    assert any("factorize at its most: it has no layer to split" in line for line in reach.lines(asked, ROWS))


@pytest.mark.parametrize("limit", ["size.packed: 20 B", "macs: 10 %", "parameters: 10"])
def test_what_is_out_of_reach_is_refused_with_what_is_nearest(limit: str) -> None:
    with pytest.raises(UsageError) as caught:
        reach.check(task(limit), ROWS)
    assert "The least that can be reached is" in caught.value.detail


def test_a_space_that_makes_nothing_better_is_refused() -> None:
    with pytest.raises(UsageError, match="Nothing under search"):
        reach.check(task("parameters: 100 %", goal="macs"), [ROWS[0], ROWS[2]])


@pytest.mark.parametrize("most", [4, 8])
def test_a_range_that_begins_at_no_change_is_tried_from_near_there(most: int) -> None:
    ranges = PRESET.format(limit="macs: 50 %", goal="macs").replace("1..4", f"1..{most}")
    least, middle, last = next(iter(reach._techniques(spec.parse(ranges, "p"))))["levels"]
    assert 1 < least["speedup"] < 1.1 < middle["speedup"] < last["speedup"] == most


def test_steps_are_tried_without_what_costs_time() -> None:
    read = spec.parse(PRESET.format(limit="macs: 50 %", goal="size.packed"), "p")
    for technique in reach._techniques(read):
        for level in technique["levels"]:
            if level is not None:
                assert step_of(level).compresses
                assert "criterion" not in level and level.get("repair") is not True
    names = [technique["name"] for technique in reach._techniques(read)]
    assert names == ["prune.channels", "quantize.weights"]
