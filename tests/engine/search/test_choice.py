"""The end of a search: what it says to take."""

import pytest

from engine.params.preset import Pick
from engine.presets import spec
from engine.search.choice import choose
from engine.search.task import Task
from tests.engine.results.test_searches import state

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps: [train: {epochs: 2}]
search:
  smallest: parameters
  budget: {trials: 8}
  over: [prune.channels: {ratio: 0.1..0.9}]
"""


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (30, "The smallest within the limits: "),
        (100, "No finalist is smaller than the network as it is; this one is nearest: "),
        (120, "No finalist is smaller than the network as it is; this one is nearest: "),
    ],
)
def test_a_search_never_ends_with_nothing(weights: int, told: str) -> None:
    rule = Pick(by="nonzero_parameters", within=2.0)
    chosen = choose(Task.of(spec.parse(PRESET, "p")), state(weights), rule)
    assert chosen.trial == 4
    assert chosen.lines[0].startswith(told + "trial 4")
    assert not (chosen.sure and weights >= 100)


def test_what_is_not_within_the_limits_is_not_called_so() -> None:
    rule = Pick(by="nonzero_parameters", within=2.0, limits={"parameters": "1"})
    chosen = choose(Task.of(spec.parse(PRESET, "p")), state(30), rule)
    assert chosen.lines[0].startswith("No finalist is within the limits; this one is nearest")
    assert not any("within the limits:" in line for line in chosen.lines)
