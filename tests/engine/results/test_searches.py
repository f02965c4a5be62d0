"""What is told of a search, from its events alone."""

from typing import Any

from engine.params.preset import Pick
from engine.reports.table import of_trials
from engine.results import pick, searches
from engine.studies import events as ev
from engine.studies.state import StudyState
from engine.testing import events as made


def trial(index: int, candidate: int | None, role: str, rung: int, **parameters: Any) -> dict[str, Any]:
    steps = [{"key": "t", "kind": "train", "address": "train"}]
    steps += [{"key": f"f{candidate}-{n}", "kind": "finetune", "address": f"f{n}"} for n in range(rung + 1)]
    return {
        "index": index,
        "parameters": parameters,
        "steps": steps,
        "measure": f"m{index}",
        "latency": None,
        "baseline": "t",
        "baseline_measure": "tm",
        "proposal": {
            "candidate": candidate,
            "role": role,
            "rung": rung,
            "seed": 0,
            "point": {"x.ratio": candidate},
        },
    }


def state(finalist: int = 30, quality: float = 0.89) -> StudyState:
    """A baseline of 100 weights, two candidates of which one goes on, and that one as the finalist, with so many and as
    good; beside it the uncompressed network."""
    found = StudyState()
    baseline = trial(0, None, "", -1) | {"measure": "tm", "proposal": {}}
    rounds = [
        [trial(1, 0, "candidate", 0), trial(2, 1, "candidate", 0)],
        [trial(3, 0, "candidate", 1)],
        [trial(4, 0, "finalist", 1, seed=0), trial(5, None, "uncompressed", 1, seed=0)],
    ]
    found.apply(made.started())
    found.apply(ev.Planned(trials=[baseline]))
    for number, trials in enumerate(rounds):
        found.apply(ev.Proposed(round=number, purpose="confirm" if number == 2 else "search", trials=trials))
    values = {
        "tm": (0.9, 100),
        "m1": (0.85, 30),
        "m2": (0.8, 40),
        "m3": (0.89, 30),
        "m4": (quality, finalist),
    }
    values["m5"] = (0.91, 100)
    for key in dict.fromkeys(step.key for one in found.trials for step in one.chain):
        right, nonzero = values.get(key, (0.5, 100))
        measured = made.measures(right, nonzero) if key in values else {}
        if key not in ("m4", "m5"):
            measured.pop("accuracy", None)
        found.apply(made.finished(key, measured))
    return found


def test_trials_of_later_rounds_come_after_the_earlier_ones() -> None:
    found = state()
    assert [one.index for one in found.trials] == list(range(6))
    found.apply(ev.Proposed(round=1, purpose="search", trials=[trial(3, 1, "candidate", 1)]))
    assert [one.index for one in found.trials] == [0, 1, 2, 3], "what followed from another round is no more"


def test_an_engine_that_takes_a_search_up_and_is_stopped_loses_none_of_its_trials() -> None:
    found = state()
    before = searches.lines(found)
    told = list(found.proposed.values())
    found.apply(made.started(resumed=True))
    found.apply(ev.Planned(trials=[trial(0, None, "", -1) | {"measure": "tm", "proposal": {}}]))
    for one in told[:2]:
        found.apply(one)
        assert [trial.index for trial in found.trials] == list(range(6))
        assert found.done == 6 and searches.lines(found) == before


def test_what_trials_share_is_from_the_store() -> None:
    # The training is computed once for all trials, and so is each of a candidate's trainings.
    stored, through = searches.shared(state())
    computed = {"t", "f0-0", "f0-1", "f1-0", "fNone-0", "fNone-1", "tm", "m1", "m2", "m3", "m4"}
    computed |= {"m5"}
    assert through - stored == len(computed)
    assert searches.lines(state())[0].endswith(f"{stored} of {through} steps from the store")


def test_the_front_is_what_nothing_beats() -> None:
    trials = [one for one in state().trials if searches.role(one) == searches.CANDIDATE]
    assert [one.index for one in searches.front(trials, "nonzero_parameters")] == [3]


def test_the_best_so_far_is_picked_while_it_runs_and_the_choice_when_it_is_through() -> None:
    found, rule = state(), Pick(by="nonzero_parameters", within=2.0)
    best = pick.pick(found, rule)
    assert best is not None and best.within and best.trial.index in (3, 4)
    found.apply(ev.Chosen(trial=4, sure=False, candidates=2, lines=["The smallest"]))
    best = pick.pick(found, rule)
    assert best is not None and best.trial.index == 4
    assert "The smallest" in searches.lines(found)


def test_a_finalist_that_was_confirmed_again_counts_once() -> None:
    found, rule = state(), Pick(by="nonzero_parameters", within=2.0)
    again = trial(6, 0, "finalist", 1, seed=0) | {"measure": "m4"}
    found.apply(ev.Proposed(round=3, purpose="confirm", trials=[again]))
    finalists = [{"candidate": 0, "trials": [6]}]
    found.apply(ev.Chosen(trial=6, sure=False, candidates=2, lines=[], finalists=finalists))
    best = pick.pick(found, rule)
    assert best is not None and (best.trial.index, best.seeds) == (6, 1)


def test_limits_of_a_pick_are_kept() -> None:
    found = pick.pick(
        state(), Pick(by="nonzero_parameters", within=20.0, limits={"nonzero_parameters": "35 %"})
    )
    assert found is not None and found.within
    found = pick.pick(
        state(), Pick(by="nonzero_parameters", within=20.0, limits={"nonzero_parameters": "20 %"})
    )
    assert found is not None and not found.within


def test_the_table_has_the_front_and_the_finalists() -> None:
    found = state()
    grid = of_trials(found, pick.pick(found, Pick(by="nonzero_parameters", within=2.0)))
    assert [row[1].split(",")[0] for row in grid.rows] == [
        "baseline",
        "candidate 0",
        "finalist 0",
        "uncompressed",
    ]
