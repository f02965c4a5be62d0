"""Another limit, another answer: from results alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params.preset import Pick
from engine.presets.limits import Limit
from engine.search.answers import answer, moved
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
    assert found.picked is not None and found.picked.trial.index in (3, trial)
    assert f"trial {found.picked.trial.index}, 30 (3.3× smaller), −1.00 points" in str(found)
    assert found.confirmed == (found.picked.trial.index == 4)


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
