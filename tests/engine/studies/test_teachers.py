"""Who teaches, and what is compared with it: planned, shared, refused, and run."""

from pathlib import Path

import pytest

from engine.errors import PresetInvalid
from engine.presets import spec
from engine.runner.executors.choose import machine
from engine.studies.plan import Plan, data_id, make
from engine.studies.rundir import studies
from tests.study_lab import Lab

HEAD = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
"""
RECOVER = (
    HEAD
    + """\
steps:
  - train: {epochs: 1, batch: 32}
  - prune.channels: {ratio: 0.5, calibrate: false}
  - distill: {epochs: 1, batch: 32, control: true}
"""
)
FROM_SCRATCH = (
    HEAD
    + """\
steps:
  - distill:
      teacher: {kind: model, name: resnet8, arguments: {width: 8}, train: {epochs: 1, batch: 32}}
      epochs: 1
      batch: 32
"""
)


def plan(text: str, *changes: str) -> Plan:
    read = spec.parse(text, "p", changes)
    return make(read, {data_id(trial): "digits" for trial in read.trials}, machine(read.settings))


def problems(text: str, *changes: str) -> list[str]:
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(text, "p", changes)
    return [f"{p.path} {p.given}; {p.allowed}" for p in caught.value.problems]


def can_be_done(found: Plan) -> bool:
    done: set[str] = set()
    left = list(found.jobs)
    while ready := [job for job in left if job.needs <= done]:
        for job in ready:
            for node in job.nodes:
                if not set(node.needs) <= done:
                    return False
                done.add(node.key)
        left = [job for job in left if job not in ready]
    return not left


def test_a_pruned_model_learns_from_the_one_before_pruning() -> None:
    trial = plan(RECOVER).trials[0]
    train, pruned, distilled = trial.steps
    assert distilled.parent == pruned.key
    assert distilled.teacher == train.key == trial.baseline
    assert trial.measure.teacher == trial.baseline_measure.key


def test_before_any_compression_the_model_learns_from_itself() -> None:
    text = RECOVER.replace("  - prune.channels: {ratio: 0.5, calibrate: false}\n", "")
    trial = plan(text).trials[0]
    assert trial.steps[1].teacher == trial.steps[0].key
    assert trial.measure.teacher is not None


def test_one_control_serves_all_methods_and_is_the_trial_without_a_teacher() -> None:
    methods = "sweep={distill.method: [logits, decoupled, features, attention]}"
    found = plan(RECOVER, methods)
    controls = {trial.measure.control for trial in found.trials}
    assert len(controls) == 1
    assert len(found.nodes) == 1 + 1 + 1 + 2 + 4 * 2, "train, its measures, prune, the control's, four trials"
    without = plan(RECOVER, "distill.teacher=none", "distill.control=false").trials[0]
    assert controls == {without.measure.key}
    assert can_be_done(found)


def test_what_comes_after_is_done_to_the_control_too() -> None:
    trial = plan(RECOVER + "  - prune.weights: {sparsity: 0.5}\n").trials[0]
    assert [node.kind for node in trial.beside] == ["distill", "prune.weights", "measure"]
    assert [node.position for node in trial.beside[:2]] == [2, 3], "the same random numbers"


def test_one_teacher_is_trained_for_all_students_of_a_seed() -> None:
    found = plan(FROM_SCRATCH, "sweep={model.arguments: [{width: 2}, {width: 4}]}", "seed=[0, 1]")
    teachers = [trial.steps[-1].teacher for trial in found.trials]
    assert teachers[0] == teachers[1] != teachers[2] == teachers[3]
    assert can_be_done(found)
    longer = plan(FROM_SCRATCH, "distill.teacher.train.epochs=2").trials[0]
    assert longer.steps[-1].key != plan(FROM_SCRATCH).trials[0].steps[-1].key


def test_the_content_of_the_teachers_file_is_part_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "teacher.pth"
    change = f"distill.teacher={{kind: model, weights: {file}}}"
    file.write_bytes(b"one")
    before = plan(FROM_SCRATCH, change).trials[0].steps[-1].key
    assert plan(FROM_SCRATCH, change).trials[0].steps[-1].key == before
    file.write_bytes(b"two")
    assert plan(FROM_SCRATCH, change).trials[0].steps[-1].key != before


def test_a_teachers_file_is_looked_for_beside_the_preset(tmp_path: Path) -> None:
    (tmp_path / "t.pth").write_bytes(b"one")
    text = HEAD + "steps:\n  - distill: {teacher: {kind: model, weights: t.pth}}\n"
    swept = text + "sweep:\n  distill.teacher.weights: [t.pth, ./other.pth]\n"
    document = spec.parse(swept, "p", folder=tmp_path).document
    assert document["steps"][0]["distill"]["teacher"]["weights"] == str(tmp_path / "t.pth")
    assert document["sweep"]["distill.teacher.weights"][0] == str(tmp_path / "t.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.enabled=false", "steps[2].distill.teacher is baseline, but nothing trains"),
        ("distill.teacher={kind: model, name: resnet32}", "teacher.train is missing"),
        ("distill.teacher={kind: model, name: resnet33, train: {}}", "teacher.name given 'resnet33'"),
        ("distill.teacher={kind: model, name: yolo/yolov8n, train: {}}", "a classifier"),
        ("distill.teacher={kind: model, weights: pretrained}", "is auto, but weights are pretrained"),
        ("distill.teacher=teacher.pth", "one of none, baseline, model"),
        ("distill={teacher: none, labels: false}", "given false without a teacher"),
    ],
)
def test_a_teacher_that_cannot_be_is_told_before_anything_runs(change: str, said: str) -> None:
    if change.startswith("distill={"):
        text = HEAD + "steps:\n  - train: {}\n  - distill: {teacher: none, labels: false}\n"
        found = problems(text)
    else:
        found = problems(RECOVER, change)
    assert len(found) == 1
    assert said in found[0]


def test_data_with_boxes_is_refused() -> None:
    text = "model: {name: yolo/yolov8n}\ndata: {name: digits-detection}\nsteps: [train, distill]\n"
    assert "given for data with boxes" in problems(text)[0]


def test_the_gain_is_the_accuracy_over_the_same_training_without_a_teacher(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    found = lab.run(preset=lab.preset(RECOVER + "sweep:\n  distill.teacher: [baseline, none]\n"))
    taught, alone = (trial["results"] for trial in found["trials"])
    assert taught["distillation_gain"] == pytest.approx(taught["accuracy"] - alone["accuracy"])
    assert taught["teacher_agreement"] == taught["agreement"], "the teacher is the baseline"
    assert alone["distillation_gain"] == 0
    assert "teacher_agreement" not in alone
    assert lab.json("replay", found["study"])["verdict"]["identical"]


def test_a_teacher_is_trained_first_and_one_that_can_t_be_read_starts_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    found = lab.run(preset=lab.preset(FROM_SCRATCH))
    [trial] = found["trials"]
    assert {"teacher_agreement", "teacher_accuracy"} <= trial["results"].keys()
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    broken = f"distill.teacher={{kind: model, weights: {tmp_path / 'broken.pth'}}}"
    done = lab.call("run", lab.preset(FROM_SCRATCH), "--set", broken)
    assert done.returncode == 2
    assert "broken.pth" in done.stderr
    assert [run.name for run in studies(lab.workspace)] == [found["study"]]
