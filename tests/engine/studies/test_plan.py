"""Keys, baselines and jobs: what is computed once, what anew, and what may run beside what."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.machine import environment
from engine.params import PruneWeights, Train
from engine.params.training import Ema
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.sources import Sources
from engine.studies import checkup
from engine.studies.plan import Job, Node, Plan, PlannedTrial, data_id, make, plan_trial
from engine.studies.roots import fits_whole

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
  - prune.weights: {sparsity: 0.5}
  - finetune: {epochs: 1}
sweep:
  prune.weights.sparsity: [0.3, 0.5, 0.7]
"""
SEVERAL = PRESET.partition("sweep:")[0] + "  - quantize.weights: {bits: 4}\n"
LATENCY = "measure.latency={}"


def plan(*overrides: str, text: str = PRESET, fingerprint: str = "digits") -> Plan:
    read = spec.parse(text, "p", overrides)
    return make(read, {data_id(trial): fingerprint for trial in read.trials}, machine(read.settings))


def keys(found: Plan, trial: int = 0) -> list[str]:
    return [step.key for step in found.trials[trial].steps]


def test_a_sweep_trains_and_measures_its_baseline_once() -> None:
    found = plan()
    assert len({keys(found, trial)[0] for trial in range(3)}) == 1
    assert len({keys(found, trial)[1] for trial in range(3)}) == 3
    assert {trial.baseline for trial in found.trials} == {keys(found)[0]}
    assert len({trial.baseline_measure.key for trial in found.trials}) == 1
    assert len(found.nodes) == 1 + 1 + 3 * 3, "train and its measures; prune, finetune and measures of each"


def test_all_that_a_search_tries_is_compared_with_what_it_began_with() -> None:
    """Whichever techniques run, and whatever trains before the first that does."""

    def of(*off: str, base: int | None = 1) -> PlannedTrial:
        trial = spec.parse(SEVERAL, "p").trials[0]
        steps = tuple(step for step in trial.steps if step.kind not in off)
        found = replace(trial, steps=steps, base=base)
        return plan_trial(found, "digits", machine(trial.settings), Sources(Path()))

    first, *others = found = [of(), of("prune.weights"), of("prune.weights", "quantize.weights")]
    assert {one.baseline for one in found} == {first.steps[0].key}
    assert {one.baseline_measure.key for one in found} == {first.baseline_measure.key}
    assert len({one.measure.key for one in (*found, replace(first, measure=first.baseline_measure))}) == 4
    assert of("prune.weights", base=None).baseline == others[0].steps[1].key, (
        "of a preset it is what is compressed"
    )
    assert of(base=0).baseline == first.steps[0].key, "random weights are no baseline"


def test_changing_a_late_step_keeps_the_keys_before_it() -> None:
    before, after = plan(), plan("finetune.epochs=2")
    assert keys(before)[:2] == keys(after)[:2]
    assert keys(before)[2] != keys(after)[2]
    assert before.trials[0].measure.key != after.trials[0].measure.key
    assert before.trials[0].baseline_measure.key == after.trials[0].baseline_measure.key


@pytest.mark.parametrize(
    "change", ["seed=1", "threads=2", "model.arguments={width: 8}", "train.epochs=3", "train.batch=64"]
)
def test_what_decides_the_first_step_changes_every_key(change: str) -> None:
    assert not set(plan().nodes) & set(plan(change).nodes)


@pytest.mark.parametrize(
    "change", ["about=other words", "executor.local.parallel=2", "plot={x: prune.weights.sparsity}"]
)
def test_what_decides_no_number_changes_no_key(change: str) -> None:
    assert set(plan().nodes) == set(plan(change).nodes)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        ("{name: digits}", True),
        ("{name: digits, size: 32, width: 640}", False),
        ("{name: digits, preprocess: imagenet, channels: 3}", False),
        ("{name: digits, preprocess: imagenet, channels: 3, size: 32}", True),
    ],
)
def test_only_of_small_images_it_is_known_that_whole_batches_fit(data: str, whole: bool) -> None:
    (trial, *_) = spec.parse(PRESET, "p", [f"data={data}"]).trials
    assert fits_whole(trial.settings.model, trial.settings.data) == whole


def test_what_is_told_of_a_network_on_its_data_is_in_its_check_up_s_key() -> None:
    def tried(data: str) -> Node:
        found = plan("model={name: torchvision/resnet18, weights: pretrained}", f"data={data}")
        (job,) = checkup.jobs(found, machine(found.trials[0].trial.settings), Sources("/"))
        return job.nodes[0]

    told, silenced = tried("{name: digits, channels: 3}"), tried("{name: digits, channels: 3, mean: data}")
    assert told.material["note"] and not silenced.material["note"]
    assert len({told.key, silenced.key, tried("{name: digits, channels: 3, root: here}").key}) == 3


def test_other_data_other_packages_and_another_processor_change_every_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(plan().nodes)
    assert not before & set(plan(fingerprint="others").nodes)
    with monkeypatch.context() as changed:
        changed.setattr(environment, "packages", lambda: {"torch": "9.9"})
        assert not before & set(plan().nodes)
    cpu = environment.cpu()
    monkeypatch.setattr(environment, "cpu", lambda: cpu | {"flags": []})
    assert not before & set(plan().nodes)


def test_a_new_version_of_a_step_changes_its_key_and_those_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(plan())
    monkeypatch.setattr(PruneWeights, "version", PruneWeights.version + 1)
    after = keys(plan())
    assert before[0] == after[0]
    assert not set(before[1:]) & set(after[1:])


def test_the_content_of_a_users_model_file_is_part_of_every_key(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("def net(): ...\n")
    named = f"model.name={file}:net"
    before = set(plan(named).nodes)
    assert set(plan(named).nodes) == before
    file.write_text("def net(): ...  # other\n")
    assert not before & set(plan(named).nodes)


def test_the_content_of_brought_weights_is_part_of_every_key(tmp_path: Path) -> None:
    """A file, and a checkpoint's folder; allowing a pickle changes no number."""
    file, folder = tmp_path / "w.pth", tmp_path / "folder"
    folder.mkdir()
    for path, named in ((file, file), (folder / "model.safetensors", folder)):
        weights = f"model.weights={named}"
        path.write_bytes(b"one")
        before = plan(weights)
        assert before.trials[0].steps[0].kind == "model", (
            "what was brought is read once, by a node of its own"
        )
        assert set(plan(weights, "model.trust_pickle=true").nodes) == set(before.nodes)
        path.write_bytes(b"other")
        assert not set(before.nodes) & set(plan(weights).nodes)


def test_the_baseline_is_the_last_model_before_the_first_compression() -> None:
    steps = "- train: {epochs: 1}\n  - calibrate: {}\n  - prune.weights: {}\n  - calibrate: {id: again}\n"
    text = PRESET[: PRESET.index("steps:")] + "steps:\n  " + steps
    found = plan(text=text).trials[0]
    assert [step.address for step in found.steps] == ["train", "calibrate", "prune.weights", "again"]
    assert found.baseline == found.steps[1].key
    assert [step.baseline for step in found.steps] == [None, None, found.baseline, found.baseline]


def test_without_compression_the_model_is_its_own_baseline() -> None:
    found = plan(text=PRESET[: PRESET.index("  - prune")]).trials[0]
    assert found.measure == found.baseline_measure


def test_given_weights_that_are_pruned_at_once_are_the_baseline() -> None:
    text = PRESET.replace("  - train: {epochs: 2}\n", "")
    found = plan("model.name=torchvision/resnet18", "model.weights=pretrained", text=text).trials[0]
    assert found.steps[0].kind == "model"
    assert found.baseline == found.steps[0].key


def test_seeds_share_nothing_and_each_is_compared_with_its_own_baseline() -> None:
    found = plan("seed=[0, 1]")
    assert [trial.trial.parameters["seed"] for trial in found.trials] == [0, 0, 0, 1, 1, 1]
    assert len({trial.baseline for trial in found.trials}) == 2
    assert keys(found, 0) == keys(plan()), "seed 0 alone, and in a list, is the same"


def test_every_node_is_in_one_job_and_a_job_needs_only_others() -> None:
    for found in (plan(), plan(LATENCY, "seed=[0, 1]"), plan(LATENCY, "prune.weights.sparsity=0")):
        in_jobs = [node.key for job in found.jobs for node in job.nodes]
        assert len(in_jobs) == len(set(in_jobs))
        for job in found.jobs:
            assert not job.needs & {node.key for node in job.nodes}
            assert job.needs <= set(in_jobs)
        assert _can_be_done(found.jobs)


def _can_be_done(jobs: tuple[Job, ...]) -> bool:
    done: set[str] = set()
    left = list(jobs)
    while ready := [job for job in left if job.needs <= done]:
        done |= {node.key for job in ready for node in job.nodes}
        left = [job for job in left if job not in ready]
    return not left


def test_latency_is_a_job_of_its_own_alone_on_the_machine_and_after_its_measures() -> None:
    found = plan(LATENCY)
    alone = [job for job in found.jobs if job.exclusive]
    assert [[node.kind for node in job.nodes] for job in alone] == [["latency"]] * 3
    for job, trial in zip(alone, found.trials, strict=True):
        assert job.needs == {trial.measure.key, trial.baseline_measure.key}
    assert not any(node.kind == "latency" for job in found.jobs if not job.exclusive for node in job.nodes)


def test_nodes_are_done_after_those_they_need() -> None:
    for job in plan(LATENCY).jobs:
        done = set(job.needs)
        for node in job.nodes:
            assert set(node.needs) <= done
            done.add(node.key)


def test_a_group_of_parameters_that_computes_something_else_now_gives_its_steps_new_keys() -> None:
    plain, averaged = Train(epochs=2), Train(epochs=2, ema=Ema())
    assert "revision" not in str(plain.key_material())
    assert averaged.key_material()["ema"]["revision"] == Ema.revision > 1
    mixed = Train(epochs=2, precision="bf16").key_material()
    assert mixed.items() - plain.key_material().items() == {("precision", "bf16"), ("mixed", 2)}
