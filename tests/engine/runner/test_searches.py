"""A whole search: the same rounds and results whatever interrupts it, and always an answer."""

import os
import signal
from pathlib import Path

import pytest
import torch

from engine.presets import spec
from engine.results import compare
from engine.results.sensitivity import of_trial
from engine.search import first
from engine.search.proposals import Table
from engine.search.task import Task
from engine.studies import events as ev
from tests.study_lab import Lab, wait_for

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps:
  - train: {epochs: 1, batch: 32}
search:
  table: [sensitivity: {of: weights, rates: [0.5, 0.9], images: 100}]
  smallest: size.packed
  within: {accuracy: -99 points, size.packed: 90 %}
  budget: {trials: 4}
  batch: 2
  finalists: 1
  seeds: 1
  over:
    - prune.weights: {sparsity: 0.2..0.9}
    - finetune: {epochs: 1..2, batch: 32}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run(preset=lab.preset(PRESET))
    return lab


def test_the_answer_is_a_plain_preset_and_the_pick(lab: Lab) -> None:
    state = lab.state("p-1")
    assert state.status == "done" and state.chosen is not None
    answer = spec.read(lab.study("p-1").answer)
    assert answer.settings.search is None and len(answer.trials) == 1
    found = lab.json("show", "p-1")["pick"]
    assert found["index"] == state.chosen.trial and found["within"]
    # Run on its own it computes nothing anew but its measures, which are those of the search.
    again = lab.run(preset=str(lab.study("p-1").answer))
    assert again["trials"][0]["results"]["size"] == state.trials[found["index"]].results["size"]
    assert not [e for e in lab.events("answer-1") if isinstance(e, ev.StepFinished) and not e.reused]


def test_trials_are_compared_by_all_their_parameters(lab: Lab) -> None:
    run, state = lab.study("p-1"), lab.state("p-1")
    baseline, *proposed = (compare.parameters(run, trial) for trial in state.trials)
    assert baseline["steps"] == "train"
    for trial, found in zip(state.trials[1:], proposed, strict=True):
        assert found["seed"] == trial.proposal["seed"] and found.keys() >= baseline.keys()
        for path, value in (trial.proposal["point"] or {}).items():
            assert found[path] == value


def test_only_finalists_meet_the_test_split(lab: Lab) -> None:
    for trial in lab.state("p-1").trials:
        assert ("accuracy" in trial.results) == (
            trial.proposal.get("role", "baseline") in ("finalist", "uncompressed")
        )
        assert "validation_accuracy" in trial.results


def test_the_uncompressed_network_is_a_trial_like_others(lab: Lab) -> None:
    """Nothing compresses it, and still it is compared with the baseline, of which there is one."""
    finalist, plain = lab.state("p-1").trials[-2:]
    assert (finalist.proposal["role"], plain.proposal["role"]) == ("finalist", "uncompressed")
    assert (plain.baseline, plain.baseline_measure) == (finalist.baseline, finalist.baseline_measure)
    assert "baselines" not in lab.json("show", "p-1")


def test_longer_trainings_go_on_from_the_store(lab: Lab) -> None:
    trials = lab.state("p-1").trials
    longer = next(trial for trial in trials if trial.proposal.get("rung") == 1)
    first = next(t for t in trials if t.proposal.get("candidate") == longer.proposal["candidate"])
    assert [step.key for step in longer.steps[: len(first.steps)]] == [step.key for step in first.steps]
    assert len(set(lab.computed("p-1"))) == len(lab.computed("p-1"))


def test_first_candidates_come_from_a_table_beside_the_baseline(lab: Lab) -> None:
    baseline, *others = lab.state("p-1").trials
    assert [(step.address, step.status) for step in baseline.beside] == [("sensitivity", "done")]
    assert not any(step.kind == "sensitivity" for trial in others for step in (*trial.steps, *trial.beside))
    task = Task.of(spec.read_stored(lab.study("p-1").preset))
    tables = [Table(scanned) for scanned in of_trial(baseline).values()]
    predicted = [point["prune.weights.sparsity"] for point in first.points(task, tables)]
    proposed = [
        trial.proposal["point"]["prune.weights.sparsity"] for trial in others if trial.proposal["rung"] == 0
    ]
    assert predicted[0] == proposed[0]


def test_a_replay_proposes_and_computes_the_same(lab: Lab) -> None:
    found = lab.json("replay", "p-1")
    assert found["verdict"]["identical"], found["verdict"]
    assert lab.proposals("p-1-replay-1") == lab.proposals("p-1")


def test_a_larger_budget_goes_on(lab: Lab) -> None:
    before = lab.proposals("p-1")
    assert lab.call("resume", "p-1", "--set", "search.budget.trials=6").returncode == 0
    after = lab.proposals("p-1")
    assert after[: len(before)] == before
    assert [p.get("role") for p in after[len(before) :]].count("candidate") == 2  # type: ignore[attr-defined]
    assert lab.call("resume", "p-1", "--set", "search.batch=3").returncode == 2


def test_what_the_network_does_not_allow_is_not_tried(lab: Lab) -> None:
    """Neither at first nor when the search goes on, or is repeated."""
    over = "    - prune.channels: {speedup: 1..40, floor: 0.5, repair: false}\n    - finetune: {epochs: 1, batch: 32}\n"
    text = PRESET.partition("    - prune")[0].replace("weights, rates", "channels, rates") + over
    lab.run(preset=lab.preset(text.replace("trials: 4", "trials: 2"), "far"))
    assert lab.call("resume", "far-1", "--set", "search.budget.trials=4").returncode == 0
    state = lab.state("far-1")
    assert state.reached is not None
    (bound,) = state.reached.bounds
    assert 2 < bound["most"] < 6
    assert any(
        f"{bound['most']:g} is the most that the network allows" in line for line in state.reached.lines
    )
    tried = [t.proposal["point"]["prune.channels.speedup"] for t in state.trials if t.proposal.get("point")]
    assert state.failed == 0 and max(tried) <= bound["most"] and len(state.proposed) > 2
    assert lab.json("replay", "far-1")["verdict"]["identical"]


def test_kills_and_parallel_workers_change_nothing(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path)
    preset = other.preset(PRESET + "executor: {local: {parallel: 2}}\n")
    assert other.call("run", preset, "--detach").returncode == 0
    for rounds_ in (1, 2):
        wait_for(lambda n=rounds_: len(other.state("p-1").proposed) >= n)  # type: ignore[misc]
        os.kill(other.study("p-1").read_status().pid, signal.SIGKILL)
        wait_for(lambda: other.study("p-1").read_status().state == "lost")
        assert other.call("resume", "p-1", "--detach").returncode == 0
    wait_for(lambda: other.study("p-1").read_status().state == "done")
    mine, theirs = lab.objects(), other.objects()
    assert other.proposals("p-1") == lab.proposals("p-1")[: len(other.state("p-1").trials)]
    assert {key: mine[key] for key in theirs if key in mine} == {
        key: theirs[key] for key in theirs if key in mine
    }
    assert len(set(theirs) & set(mine)) > 10


def test_a_limit_is_given_once(lab: Lab, tmp_path: Path) -> None:
    for given in (("macs=50%", "--within", "macs=20%"), ("accuracy=-1", "--within", "accuracy=-5")):
        done = lab.call("solve", "p-1", "--within", *given)
        assert done.returncode == 2 and "twice" in done.stderr
    goal = ("resnet8", "--data", "digits", "--smallest", "macs", "--trials", "1")
    file = tmp_path / "p.yaml"
    within = ("--lose", "1", "--within", "accuracy=-3", "--preset", str(file))
    done = lab.call("compress", *goal, *within)
    assert done.returncode == 2 and "twice" in done.stderr and not file.exists()


def test_what_the_check_up_refuses_leaves_no_preset(lab: Lab, tmp_path: Path) -> None:
    torch.save({"strange": torch.ones(2)}, tmp_path / "best.pth")
    file = tmp_path / "p.yaml"
    goal = ("--data", "digits", "--smallest", "macs", "--trials", "1", "--preset", str(file))
    done = lab.call("compress", str(tmp_path / "best.pth"), *goal)
    assert done.returncode == 2 and "No known model fits" in done.stderr and not file.exists()


def test_of_several_tables_one_is_to_be_named(lab: Lab, tmp_path: Path) -> None:
    text = PRESET.partition("search:")[0]
    for of in ("weights, rates: [0.5]", "bits, bits: [4]"):
        text += f"  - sensitivity: {{of: {of}, images: 100}}\n"
    lab.run(preset=lab.preset(text, "tables"))
    done = lab.call("solve", "tables-1", "--out", str(tmp_path / "solved.yaml"))
    assert done.returncode == 2 and "--of weights or --of bits" in done.stderr
    rounded = lab.call("solve", "tables-1", "--of", "bits", "--within", "accuracy=-99").stdout
    assert "bits: effective MACs, non-zero parameters, as predicted" in rounded


def test_another_limit_is_another_solve_of_the_same_table(lab: Lab, tmp_path: Path) -> None:
    before = len(lab.events("p-1"))
    found = lab.json("solve", "p-1", "--within", "size.packed=60%", "--least", "accuracy")
    (proposal,) = found["proposals"].values()
    assert proposal["amounts"]["size.packed"] <= 0.6 * proposal["before"]["size.packed"]
    file = tmp_path / "solved.yaml"
    done = lab.call("solve", "p-1", "--within", "size.packed=60%", "--least", "accuracy", "--out", str(file))
    assert done.returncode == 0, done.stderr
    trial = spec.read(file).trials[0]
    assert [step.kind for step in trial.steps] == ["train", "sensitivity", "prune.weights", "calibrate"]
    assert len(lab.events("p-1")) == before
    refused = lab.call("solve", "p-1", "--of", "bits")  # its own table is of weights, and was measured
    assert refused.returncode == 2 and "No trial has a finished step of that" in refused.stderr
    assert lab.call("solve", "p-1", "--within", "accuracy=1").returncode == 2
    assert lab.call("solve", "p-1", "--out", str(file)).returncode == 2
