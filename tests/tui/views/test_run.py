"""What the page of a running study says of its steps."""

from dataclasses import replace
from pathlib import Path

from engine.studies import events as ev
from engine.studies.parts import StepState, TrialState
from engine.studies.state import StudyState
from engine.testing import events as made
from engine.testing import folders as fabricate
from tests.engine.results import test_searches as searches
from tui.views.run import Names, is_trained, step_names, steps
from tui.widgets.progress import head

NOW = 2e9


def test_names_hold_until_another_study_or_other_steps_are_shown(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a", sparsities=(0.3, 0.5)).start()
    other = fabricate.Study(tmp_path, "b", sparsities=(0.7, 0.8)).start()
    names = Names()
    first = names.of(study.state)
    study.trial(0)
    assert names.of(study.state) is first
    assert len(other.state.steps) == len(study.state.steps)
    assert names.of(other.state) == step_names(other.state) != first
    assert names.of(None) == {}


def trial(index: int, baseline: StepState, **parameters: object) -> TrialState:
    steps = [StepState(f"{kind}{index}", kind, kind) for kind in ("prune.channels", "measure")]
    return TrialState(index, dict(parameters), steps[:1], steps[1], None, "base", baseline)


def test_values_that_do_not_tell_what_they_are_of_have_their_names() -> None:
    baseline = StepState("base", "measure", "measure")
    on, off = {"bits.enabled": True, "bits.bits": 4}, {"bits.enabled": False}
    trials = [
        trial(0, baseline, **{"prune.channels.speedup": 1.5, "prune.weights.scope": "local"}, **on, seed=0),
        trial(1, baseline, **{"prune.channels.speedup": 3, "prune.weights.scope": "global"}, **off, seed=1),
    ]
    steps = {step.key: step for one in trials for step in (*one.steps, one.measure, one.baseline_measure)}
    names = step_names(StudyState(trials=trials, steps=steps))
    assert names["prune.channels0"] == "prune.channels local speedup 1.5 bits 4 seed 0"
    assert names["prune.channels1"] == "prune.channels global speedup 3 bits off seed 1"


def test_every_step_has_a_name_also_where_trials_have_baselines_of_their_own() -> None:
    trials = [trial(index, StepState(f"base{index}", "measure", "measure"), seed=index) for index in (0, 1)]
    steps = {step.key: step for one in trials for step in (*one.steps, one.measure, one.baseline_measure)}
    names = step_names(StudyState(trials=trials, steps=steps))
    assert set(names) == set(steps)
    assert names["base1"] == "measure the baseline"


def test_all_steps_that_are_being_done_are_in_view(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a").start()
    names = step_names(study.state)
    keys = list(names)
    for place in (8, 40):
        study.state.steps[keys[place]].status = "running"
    lines = ["".join(text for text, _ in line) for line in steps(study.state, names, 78, 7)]
    assert [line[0] for line in lines].count("▶") == 2 and len(lines) == 7
    assert lines[0] == "  ↑ 7 before" and lines[-1] == f"  ↓ {len(keys) - 12} more"


def test_training_is_over_once_only_latency_is_to_come(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a", scopes=("local",), sparsities=(0.3, 0.5)).start()
    assert not is_trained(study.state)
    study.trial(0)
    ways = study.steps_of(1)
    for _ in range(3):
        assert not is_trained(study.state)
        next(ways)
    assert study.state.untimed == 1 and is_trained(study.state)


def test_the_time_left_is_said_once(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a").start()
    study.trial(0)
    study.state.expected = 90.0
    for width in range(40, 140):
        first, _, last = ("".join(text for text, _ in line) for line in head(study.state, width, NOW))
        assert f"{first} {last}".count("left") == 1, width


def test_steps_are_read_from_any_of_them_to_the_first_and_the_last(tmp_path: Path) -> None:
    study = fabricate.Study(tmp_path, "a").start()
    names = step_names(study.state)
    keys = list(names)
    study.state.steps[keys[30]].status = "running"

    def shown(top: int) -> list[str]:
        return ["".join(text for text, _ in line) for line in steps(study.state, names, 78, 7, top)]

    first, last = shown(0), shown(len(keys) - 7)
    assert first[0].startswith("✓ train") and first[-1] == f"  ↓ {len(keys) - 6} more"
    assert last[0] == f"  ↑ {len(keys) - 6} before" and "latency global 95 %" in last[-1]
    assert not any(line.startswith("▶") for line in (*first, *last))


def of_search(**budget: float) -> StudyState:
    """A search that has made its baseline."""
    state = StudyState()
    baseline = searches.trial(0, None, "", -1) | {"measure": "tm", "proposal": {}}
    for event in (
        made.started(),
        ev.Planned(trials=[baseline], **budget),  # type: ignore[arg-type]
        made.finished("t"),
        made.finished("f-1-0"),
        made.finished("tm", made.measures(0.9)),
    ):
        state.apply(event)
    return state


def test_of_a_search_no_total_is_told_but_the_most_it_can_come_to() -> None:
    def first(state: StudyState) -> str:
        return "".join(text for text, _ in head(state, 78, NOW)[0])

    state = of_search(most_trials=73)
    assert "running 1 trial, of at most 73" in first(state) and state.fraction == "1/≤73"
    state.apply(ev.Proposed(round=0, purpose="search", trials=[searches.trial(1, 0, "candidate", 0)]))
    assert "running 1 trial, of at most 73" in first(state) and state.progress == 1 / 73
    state.apply(ev.Chosen(trial=1, sure=True, candidates=1, lines=[]))
    assert "1 of 2 trials" in first(state) and state.fraction == "1/2"
    assert "running 1 trial " in first(of_search(most_trials=-1, most_hours=2.0))


def test_what_is_left_of_a_search_is_more_than_its_round() -> None:
    state = of_search(most_trials=9)
    assert state.remaining_seconds() is None
    rounds = [searches.trial(index, index - 1, "candidate", 0) for index in (1, 2)]
    state.apply(ev.Proposed(round=0, purpose="search", trials=rounds))
    state.apply(made.finished("f0-0"))
    state.apply(made.finished("m1", made.measures(0.9)))
    assert state.remaining_seconds() == 7 * 4.0, (
        "of nine trials two are done; one took two steps of two seconds"
    )
    timed = of_search(most_trials=-1, most_hours=1.0)
    timed.worked = 600.0
    assert (timed.remaining_seconds(), timed.progress) == (3000.0, 1 / 6)


def test_how_long_it_took_leaves_out_the_time_between_two_engines() -> None:
    def at(seconds: float) -> dict[str, float]:
        return {"time": NOW - 10_000 + seconds}

    state = made.replayed(
        replace(made.started(), **at(0)),
        replace(made.planned([{}]), **at(1)),
        ev.StudyFinished(state="cancelled", **at(60)),
        replace(made.started(resumed=True), **at(9_990)),
    )
    first, *_ = head(state, 100, NOW)
    assert "1 m 10 s so far" in "".join(text for text, _ in first)
    state.apply(ev.StudyFinished(state="done", **at(10_000)))
    first, *_ = head(state, 100, NOW + 500)
    assert "took 1 m 10 s" in "".join(text for text, _ in first)
