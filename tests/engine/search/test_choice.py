"""The end of a search: what it says to take."""

from dataclasses import replace

import pytest

from engine.params.preset import Pick
from engine.params.search import MOST_ACCURATE
from engine.presets import spec
from engine.search.choice import NothingFound, choose
from engine.search.task import Task
from engine.studies import events as ev
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


def test_where_nothing_can_be_taken_the_error_says_what_could_not_be_finished() -> None:
    task, rule = Task.of(spec.parse(PRESET, "p")), Pick(by="nonzero_parameters", within=2.0)
    found = state()
    found.apply(ev.StepFailed(key="m4", kind="measure", error={"title": "No memory"}))
    with pytest.raises(NothingFound) as one:
        choose(task, found, rule)
    assert one.value.detail == "Of 1 finalist none could be computed and measured to its end."
    del found.proposed[2]
    with pytest.raises(NothingFound) as one:
        choose(task, found, rule)
    assert one.value.detail == "Of 2 candidates none could be computed and measured to its end."


@pytest.mark.parametrize(
    ("within", "sure", "told"),
    [
        (100.0, True, "no limit is set on that, and ± is the luck of the best of 2 candidates"),
        (2.0, True, "within the limit beyond the luck of the best of 2 candidates"),
        (1.2, False, "within the limit, but not beyond the luck of the best of 2 candidates"),
    ],
)
def test_the_most_accurate_is_held_against_a_limit_of_its_loss_where_there_is_one(
    within: float, sure: bool, told: str
) -> None:
    text = PRESET.replace("smallest: parameters", "most_accurate: true\n  within: {parameters: 90 %}")
    found = state()
    found.trials[0].measure.measures["validation_images"] = 5000
    found.trials[4].steps[-1].measures["agreement"] = 0.96
    chosen = choose(Task.of(spec.parse(text, "p")), found, Pick(by=MOST_ACCURATE, within=within))
    assert (
        chosen.lines[1].startswith("−1.00 ± 0.55 points on validation, mean of one seed")
        and told in chosen.lines[1]
    )
    assert chosen.sure == sure


@pytest.mark.parametrize(("held", "is_said"), [({"prune.channels": False}, True), ({}, False)])
def test_it_is_said_where_no_candidate_is_as_wished(held: dict[str, bool], is_said: bool) -> None:
    found = state()
    last = found.proposed[2]
    for one in (trial for trial in last.trials if trial["proposal"]["candidate"] is not None):
        one["proposal"]["point"] = {"prune.channels.ratio": 0.5}
    found.proposed[2] = replace(last, held=held)
    chosen = choose(Task.of(spec.parse(PRESET, "p")), found, Pick(by="nonzero_parameters", within=2.0))
    assert any("as wished (prune.channels forbidden): all" in line for line in chosen.lines) == is_said
