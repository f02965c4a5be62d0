"""What the page of a running study says of its steps."""

from pathlib import Path

from engine.studies.parts import StepState, TrialState
from engine.studies.state import StudyState
from engine.testing import folders as fabricate
from tui.views.run import Names, step_names


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
