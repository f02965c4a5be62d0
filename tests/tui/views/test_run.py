"""What the page of a running study says of its steps."""

from pathlib import Path

from engine.studies.parts import StepState, TrialState
from engine.studies.state import StudyState
from engine.testing import folders as fabricate
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
    for width in range(40, 140):
        first, _, last = ("".join(text for text, _ in line) for line in head(study.state, 90.0, width, NOW))
        assert f"{first} {last}".count("left") == 1, width
