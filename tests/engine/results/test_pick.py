"""Which of a study's models to take: one rule for lists, charts and export."""

import pytest

from engine.params.preset import Pick as Rule
from engine.results.kept import cell
from engine.results.pick import STANDARD, as_json, pick, verdict
from engine.studies.state import StudyState
from engine.testing.events import finished, measures, planned, replayed, started, study


def index(state: StudyState, rule: Rule = STANDARD) -> int | None:
    found = pick(state, rule)
    return None if found is None else found.trial.index


def test_the_smallest_model_within_a_point_of_its_baseline_is_picked() -> None:
    state = study(
        ({"sparsity": 0.3}, measures(0.90, nonzero=70, sparsity=0.3)),
        ({"sparsity": 0.5}, measures(0.891, nonzero=50, sparsity=0.5)),
        ({"sparsity": 0.9}, measures(0.70, nonzero=10, sparsity=0.9)),
    )
    assert index(state) == 1


def test_the_preset_says_how_much_may_be_lost_and_what_is_to_be_small() -> None:
    heavy = measures(0.895, nonzero=40, effective_macs=90)
    light = measures(0.85, nonzero=50, effective_macs=20)
    state = study(({"x": 1}, heavy), ({"x": 2}, light), baseline=measures(0.9, effective_macs=100))
    assert (index(state), index(state, Rule(within=5, by="effective_macs"))) == (0, 1)
    assert index(state, Rule(within=5)) == 0, "the packed size is what counts by default"


def test_what_nothing_was_done_to_is_no_pick() -> None:
    """However accurate: somebody who asks for the compressed model must not be handed the original."""
    state = study(({"sparsity": 0}, measures(0.95)), ({"sparsity": 0.5}, measures(0.6, nonzero=50)))
    assert index(state) == 1
    assert index(study(({"sparsity": 0}, measures(0.95)))) is None


def test_of_models_with_measured_sizes_the_one_of_fewest_bytes_is_picked() -> None:
    """Weights of few bits are as many as before."""
    int8 = measures(0.90, nonzero=100) | {"size": {"packed": 90}}
    assert index(study(({"bits": 32}, measures(0.90, nonzero=95)), ({"bits": 8}, int8))) == 1
    del int8["size"]
    assert index(study(({"bits": 32}, measures(0.90, nonzero=95)), ({"bits": 8}, int8))) == 0


def test_a_sweep_of_speedups_aims_at_macs() -> None:
    slow = measures(0.9, nonzero=10, effective_macs=90)
    fast = measures(0.9, nonzero=60, effective_macs=30)
    name = "prune.channels.speedup"
    state = study(({name: 1.1}, slow), ({name: 3.0}, fast), baseline=measures(0.9, effective_macs=100))
    assert index(state) == 1


def test_where_every_smaller_model_loses_more_the_nearest_is_named_as_such() -> None:
    state = study(
        ({"sparsity": 0.5}, measures(0.6, nonzero=50)), ({"sparsity": 0.3}, measures(0.7, nonzero=70))
    )
    found = pick(state)
    assert found is not None and not found.within
    assert verdict(found).startswith(
        "no smaller model is within 1 point on validation; nearest, 20 points less, is trial 1"
    )
    assert cell(as_json(found)).endswith("!")


def test_the_choice_is_made_on_validation_not_on_the_test_set() -> None:
    lucky = measures(0.99, nonzero=10) | {"validation_accuracy": 0.5}
    assert index(study(({"sparsity": 0.5}, measures(0.9, nonzero=50)), ({"sparsity": 0.9}, lucky))) == 0


def test_seeds_are_judged_by_their_mean() -> None:
    """One lucky seed does not make a setting the pick."""
    lucky, unlucky = measures(0.90, nonzero=10), measures(0.80, nonzero=10)
    steady = measures(0.895, nonzero=50)
    state = study(
        ({"sparsity": 0.9, "seed": 0}, lucky),
        ({"sparsity": 0.9, "seed": 1}, unlucky),
        ({"sparsity": 0.5, "seed": 0}, steady),
        ({"sparsity": 0.5, "seed": 1}, measures(0.897, nonzero=50)),
    )
    found = pick(state)
    assert found is not None and (found.trial.index, found.seeds) == (3, 2)
    assert "mean of 2 seeds" in verdict(found)
    assert "89.70 % (" in str(found) and "89.60 ± 0.14 % over 2 seeds" in str(found)
    assert cell(as_json(found)).startswith("#3 89.60 ± 0.14 %")


def test_without_a_finished_trial_there_is_none() -> None:
    assert pick(study(({"sparsity": 0.5}, None))) is None
    assert (as_json(None), cell({})) == ({}, "–")


def test_a_list_shows_a_pick_that_was_not_scored_on_the_test_split() -> None:
    assert cell({"index": 12, "accuracy": None, "times": 12.07, "within": True}) == "#12 12.1×"


def test_a_latency_may_be_the_goal() -> None:
    events = [
        started(),
        planned([{"x": 1}, {"x": 2}], latency=True),
        finished("t"),
        finished("tm", measures(0.9)),
    ]
    for i, ms in enumerate((4.0, 2.0)):
        row = {"runtime": "torch", "batch": 1, "median_ms": ms, "baseline_median_ms": 8.0, "speedup": 8 / ms}
        events += [finished(f"p{i}"), finished(f"m{i}", measures(0.9, nonzero=10 + i))]
        events += [finished(f"l{i}", observations={"rows": [row]})]
    found = pick(replayed(*events), Rule(by="latency.torch.1"))
    assert found is not None and (found.trial.index, found.times) == (1, 4.0)
    assert "(4.0× faster)" in str(found)


@pytest.mark.parametrize("kept", [{"index": 3, "accuracy": 0.9, "close": True}, {"accuracy": 0.9}])
def test_a_status_of_an_earlier_version_still_shows(kept: dict[str, object]) -> None:
    assert "90.00 %" in cell(kept)
