"""The estimate before a start comes from what the same steps took, and from nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.presets import edits, shipped, spec
from engine.presets.spec import Spec
from engine.presets.steps import Address
from engine.presets.yaml.tree import node_of
from engine.results.estimates import START_S, History, epochs_of
from engine.studies import events as ev
from engine.studies.events import EpochFinished, Planned, StepFinished, StudyStarted, to_line
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from tui.lab.document import read
from tui.lab.estimate import estimate
from tui.lab.outline import items
from tui.lab.review import sections

EPOCH_S, PRUNE_S, MEASURE_S, LATENCY_S = 2.0, 0.5, 1.0, 3.0


def quickstart(*overrides: str) -> Spec:
    """On two threads, one trial after the other: times are easy to add up."""
    return spec.read(shipped.find("quickstart"), ("threads=2", "executor.local.parallel=1", *overrides))


def finished_study(workspace: Path, name: str, wanted: Spec) -> RunDir:
    """A study folder in which one trial of `wanted` is done, with times that are easy to add up."""
    run = RunDir.of(workspace, name)
    run.path.mkdir(parents=True)
    run.preset.write_text(spec.to_yaml(wanted.document))
    trial = {
        "index": 0,
        "parameters": {},
        "steps": [
            {"key": "t", "kind": "train", "address": "train"},
            {"key": "p", "kind": "prune.weights", "address": "prune.weights"},
            {"key": "f", "kind": "finetune", "address": "finetune"},
        ],
        "measure": "m",
        "latency": "l",
        "baseline": "t",
        "baseline_measure": "b",
    }
    events: list[ev.Event] = [
        StudyStarted(study=name, preset="quickstart", host="h", pid=1, environment={}),
        Planned(trials=[trial]),
    ]
    for key, kind, epochs in (("t", "train", 12), ("f", "finetune", 2)):
        events.append(
            EpochFinished(
                key=key, epoch=epochs, epochs=epochs, loss=1.0, validation_loss=1.0,
                measures={"validation_accuracy": 0.5},
                learning_rate=0.1, seconds=EPOCH_S,
            )
        )  # fmt: skip
        events.append(StepFinished(key=key, kind=kind, reused=False, seconds=epochs * EPOCH_S, measures={}))
    for key, kind, seconds in (
        ("p", "prune.weights", PRUNE_S),
        ("b", "measure", MEASURE_S),
        ("m", "measure", MEASURE_S),
    ):
        events.append(StepFinished(key=key, kind=kind, reused=False, seconds=seconds, measures={}))
    latency = wanted.settings.measure.latency
    rows = [{"runtime": r, "batch": b, "median_ms": 1.0} for r, _, b, _ in latency.combinations()]
    events.append(
        StepFinished(
            key="l", kind="latency", reused=False, seconds=LATENCY_S, measures={}, observations={"rows": rows}
        )
    )
    run.events.write_bytes(b"".join(to_line(event) for event in events))
    settings = wanted.settings
    run.write_status(Status("done", model=settings.model.name, data=settings.data.name, trials=1, done=1))
    return run


def test_without_any_study_the_time_is_unknown(tmp_path: Path) -> None:
    found = estimate(quickstart(), History(tmp_path))
    assert found.seconds is None
    assert "unknown until the first run" in str(found)


def test_shared_steps_are_counted_once_and_epochs_scale(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())
    one = "sweep.prune.weights.scope=[local]", "sweep.prune.weights.sparsity=[0.5, 0.9]"
    found = estimate(quickstart(*one, "train.epochs=5"), History(tmp_path))
    training = (5 + 2 * 2) * EPOCH_S
    expected = START_S + training + 2 * PRUNE_S + 3 * MEASURE_S + 2 * LATENCY_S
    assert found.seconds == pytest.approx(expected)
    assert found.source == "quickstart-1"


def test_another_study_of_the_name_of_a_deleted_one_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, run = History(tmp_path), finished_study(tmp_path, "quickstart-1", quickstart())
    before = estimate(quickstart(), history).seconds
    shutil.rmtree(run.path)
    monkeypatch.setattr("tests.tui.lab.test_estimate.EPOCH_S", 2 * EPOCH_S)
    finished_study(tmp_path, "quickstart-1", quickstart())
    assert estimate(quickstart(), history).seconds == before, "one is read once"
    run.write_status(replace(run.stored_status(), updated=1.0))
    after = estimate(quickstart(), history).seconds
    assert before is not None and after is not None and after > before


def test_other_data_or_a_limit_tell_nothing(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())
    assert estimate(quickstart("data.limit=100"), History(tmp_path)).seconds is None
    assert estimate(quickstart("model.name=resnet56"), History(tmp_path)).seconds is None


def test_a_kind_of_step_never_run_makes_the_time_unknown(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())
    wanted = quickstart("steps=[train, calibrate, {prune.weights: {}}]")
    assert estimate(wanted, History(tmp_path)).seconds is None


SEARCH = """\
threads: 2
model: {name: resnet20}
data: {name: digits}
steps: [train: {epochs: 12}]
search:
  smallest: size.packed
  budget: BUDGET
  batch: 2
  finalists: 2
  seeds: SEEDS
  over: [prune.weights: {sparsity: 0.1..0.9}, finetune: {epochs: 1..2}]
"""


def test_a_search_takes_its_trials_by_rungs_and_its_confirmation(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())

    def seconds(budget: str, seeds: int) -> float:
        text = SEARCH.replace("BUDGET", budget).replace("SEEDS", str(seeds))
        found = estimate(spec.parse(text, "s"), History(tmp_path))
        assert found.seconds is not None
        return found.seconds

    baseline = 12 * EPOCH_S + MEASURE_S
    rungs = PRUNE_S + EPOCH_S + MEASURE_S, EPOCH_S + MEASURE_S
    each = (rungs[0] + rungs[1] / 2) / 1.5  # of two candidates one goes on
    plain = 2 * EPOCH_S + MEASURE_S + MEASURE_S
    once = START_S + baseline + MEASURE_S + 6 * each
    assert seconds("{trials: 6}", 1) == pytest.approx(once + plain, abs=MEASURE_S)
    more = seconds("{trials: 6}", 2) - seconds("{trials: 6}", 1)
    assert more == pytest.approx(baseline + 2 * sum(rungs) + plain, abs=MEASURE_S)
    assert seconds("{hours: 0.05}", 1) <= 180, "a budget in hours is never exceeded"
    assert seconds("{hours: 0.05, trials: 6}", 1) == pytest.approx(seconds("{trials: 6}", 1))


def test_the_tables_of_a_search_are_measured_once_whatever_its_seeds_are(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())
    texts = [SEARCH.replace("BUDGET", "{trials: 60}").replace("SEEDS", seeds) for seeds in ("1", "2")]
    with_tables, plain = (
        [estimate(spec.parse(text + more, "s"), History(tmp_path)).seconds or 0.0 for text in texts]
        for more in ("", "  table: none\n")
    )
    # A twentieth of 60 trials of one epoch and as much for their other steps, each as long as three passes.
    passes = 0.05 * 3 * 60 * 2
    assert with_tables[0] - plain[0] == pytest.approx(passes * EPOCH_S / 3)
    assert with_tables[1] - with_tables[0] == pytest.approx(plain[1] - plain[0])


def test_a_damaged_or_foreign_study_does_no_harm(tmp_path: Path) -> None:
    run = finished_study(tmp_path, "quickstart-1", quickstart())
    run.preset.write_text("[")
    run.beside("stray").path.mkdir()
    assert estimate(quickstart(), History(tmp_path)).seconds is None


def test_every_comparison_of_latency_takes_its_time_and_the_review_counts_them(tmp_path: Path) -> None:
    finished_study(tmp_path, "quickstart-1", quickstart())
    few = quickstart("sweep.prune.weights.scope=[local]", "sweep.prune.weights.sparsity=[0.5]")
    more = "measure.latency.batch=[1, 8]", "measure.latency.precision=[fp32, bf16]"
    many = quickstart("sweep.prune.weights.scope=[local]", "sweep.prune.weights.sparsity=[0.5]", *more)
    one, four = (estimate(wanted, History(tmp_path)).seconds for wanted in (few, many))
    assert one is not None and four is not None and four - one == pytest.approx(3 * LATENCY_S)
    told = dict(entry[:2] for _, entries in sections(many) for entry in entries)
    each = len(many.settings.measure.latency.combinations())
    assert told["latency measurements"] == f"{each} a trial, {each} in all"


def test_rounds_of_pruning_train_between_them() -> None:
    wanted = quickstart("prune.weights.schedule={kind: cubic, rounds: 4, epochs: 2}")
    assert epochs_of(wanted.trials[0].steps[1]) == 6


def test_every_swept_set_and_default_value_is_in_the_review() -> None:
    told = {
        f"{name} {entry}": (value, origin)
        for name, entries in sections(quickstart("finetune.enabled=false"))
        for entry, value, origin in entries
    }
    assert told["step 2: prune.weights sparsity"] == ("0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95", "swept")
    assert told["step 1: train epochs"] == ("12", "set")
    assert told["step 1: train momentum"] == ("0.9", "default")
    assert told["measure latency.blocks"] == ("3", "set")
    assert not any(name.startswith("step 3: finetune ") for name in told if "off" not in name)


def test_the_outline_marks_the_step_in_which_something_is_wrong() -> None:
    from tui.lab.check import validate

    root = read(shipped.find("quickstart").read_text(), "q")
    root = edits.put(root, Address(0, "epochs"), node_of(0))
    root = edits.sweep(root, Address(1, "sparsity"), node_of([0, 2]))
    _, problems = validate(root, "q", None)
    wrong = [item.key for item in items(root, problems) if item.problems]
    assert wrong == ["step:0", "axis:prune.weights.sparsity"]
