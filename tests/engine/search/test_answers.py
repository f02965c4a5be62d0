"""Another limit, another answer: from results alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params.preset import Pick
from engine.presets.limits import Limit
from engine.results.pick import moved as by_limits
from engine.results.pick import pick
from engine.search.answers import answer, moved
from engine.studies import events as ev
from tests.engine.results.test_searches import state

RULE = Pick(by="nonzero_parameters", within=2.0)


def accuracy(points: float) -> Limit:
    return Limit("accuracy", "loss", points / 100)


@pytest.mark.parametrize(
    ("limits", "trial"),
    [
        ((accuracy(2),), 4),
        ((accuracy(7.5),), 4),
        ((accuracy(2), Limit("nonzero_parameters", "share", 0.35)), 4),
    ],
)
def test_the_smallest_within_the_limits_is_taken(limits: tuple[Limit, ...], trial: int) -> None:
    found = answer(state(), RULE, limits)
    assert found.picked is not None and found.picked.trial.index == trial and found.confirmed
    assert str(found).endswith(f"trial {trial}, 30 (3.3× smaller), −1.00 points")


def test_a_candidate_that_went_on_as_a_finalist_is_judged_as_that() -> None:
    """Trial 3 lost one point and trial 4, the same network as it ended, loses five."""
    found = state(quality=0.85)
    assert "no trial yet; nearest is trial 4" in str(answer(found, RULE, (accuracy(1.5),)))
    assert "trial 4, 30 (3.3× smaller), −5.00 points" in str(answer(found, RULE, (accuracy(7.5),)))


def test_by_the_limits_as_asked_the_answer_is_what_the_search_chose() -> None:
    found = state(
        finalist=35, quality=0.85
    )  # candidate 1 is no finalist, has 40 weights and loses ten points
    found.apply(ev.Chosen(trial=4, sure=False, candidates=2, lines=[]))
    rule = Pick(by="nonzero_parameters", within=2.0, limits={"nonzero_parameters": "32 %"})
    asked = (accuracy(2), Limit("nonzero_parameters", "share", 0.32))
    back = (moved(moved(asked[0], 1), -1), asked[1])
    for limits in (asked, back):
        told = answer(found, rule, limits)
        assert told.picked == pick(found, rule)
        assert told.picked is not None and told.picked.trial.index == 4


def test_limits_in_the_presets_own_words_are_no_other_ones() -> None:
    rule = Pick(by="size.packed", within=0.3, limits={"size.packed": "500 kB", "latency.torch.1": "0.3 ms"})
    same = (accuracy(0.3), Limit("size.packed", "most", 5e5), Limit("latency.torch.1", "most", 3 * 0.1))
    assert by_limits(rule, same) is rule
    assert by_limits(rule, (accuracy(0.5), *same[1:])) is not rule


def test_where_nothing_is_within_the_nearest_is_told() -> None:
    found = answer(state(), RULE, (accuracy(0.5),))
    assert str(found).startswith("with accuracy −0.5 points: no trial yet; nearest is trial")
    nothing = answer(state(), RULE, (accuracy(2), Limit("nonzero_parameters", "share", 0.2)))
    assert nothing.picked is not None and not nothing.picked.within


@given(
    st.one_of(
        st.builds(accuracy, st.floats(0, 100)),
        st.builds(Limit, st.just("macs"), st.just("share"), st.floats(0.01, 1)),
        st.builds(Limit, st.just("size.packed"), st.just("most"), st.floats(1, 1e12)),
    )
)
def test_a_limit_moves_by_steps_and_back(limit: Limit) -> None:
    up, down = moved(limit, 1), moved(limit, -1)
    assert down.value <= limit.value <= up.value
    further = moved(up, 1)
    assert further.value == up.value or moved(further, -1).value == pytest.approx(up.value)
