"""Distillation: each loss against its definition, what is trained and what is not, and teachers that do not fit."""

import copy
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.data import Dataset, Split
from engine.compute.models import checkpoint
from engine.compute.pretrained.create import create
from engine.compute.steps.distillation import features, losses
from engine.compute.steps.distillation.objective import taught
from engine.compute.steps.distillation.step import distill, teach
from engine.compute.tasks.classification import agreement
from engine.compute.tasks.evaluate import score
from engine.compute.training import resume
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params import Distill
from engine.params.preset import Model
from engine.params.training import Finetune, Train
from engine.studies import events as ev
from tests.engine.compute.compute_help import (
    Interrupted,
    context_for,
    digits,
    small_model,
    stop_in_third_epoch,
)

METHODS = ("logits", "decoupled", "features", "attention", "dist", "relations")


def made(**params: Any) -> Distill:
    return Distill.model_validate({"epochs": 1, "batch": 64, **params})


def lesson(data: Dataset | None = None, teacher: nn.Module | None = None, **options: Any) -> Context:
    context = context_for(data=data, **options)
    context.teacher = (teacher or small_model(seed=7)).eval()
    return context


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def logits(seed: int) -> Tensor:
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def probabilities(row: Tensor, temperature: float) -> list[float]:
    powers = [math.exp(float(value) / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def divergence(teacher: list[float], student: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(teacher, student, strict=True))


TARGETS = torch.tensor([0, 3, 1, 1, 2])


def test_soft_answers_by_hand() -> None:
    student, teacher, t = logits(0), logits(1), 3.0
    rows = [
        divergence(probabilities(b, t), probabilities(a, t)) for a, b in zip(student, teacher, strict=True)
    ]
    expected = t**2 * sum(rows) / len(rows)
    assert float(losses.softened(student, teacher, t)) == pytest.approx(expected, rel=1e-12)


def test_decoupled_by_hand() -> None:
    student, teacher, t, alpha, beta = logits(0), logits(1), 2.0, 1.5, 8.0
    total = 0.0
    for row, (a, b, target) in enumerate(zip(student, teacher, TARGETS.tolist(), strict=True)):
        p, q = probabilities(b, t), probabilities(a, t)
        of_target = divergence([p[target], 1 - p[target]], [q[target], 1 - q[target]])
        rest = [c for c in range(4) if c != target]
        others = divergence(probabilities(b[rest], t), probabilities(a[rest], t))
        total += alpha * of_target + beta * others
        assert row < 5
    found = losses.decoupled(student, teacher, TARGETS, alpha=alpha, beta=beta, temperature=t)
    assert float(found) == pytest.approx(t**2 * total / 5, rel=1e-12)


def test_decoupled_is_the_classical_loss_taken_apart() -> None:
    """KL = TCKD + (1 - p) · NCKD, with p the teacher's probability of the target (equation 5 of the paper)."""
    student, teacher = logits(0)[:1], logits(1)[:1]
    rest = 1 - probabilities(teacher[0], 4.0)[0]
    apart = losses.decoupled(
        student, teacher, torch.tensor([0]), alpha=1.0, beta=rest, temperature=4.0
    )  # fmt: skip
    torch.testing.assert_close(apart, losses.softened(student, teacher, 4.0))


def test_feature_maps_by_hand() -> None:
    one = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    two = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert float(losses.hint(one, two)) == pytest.approx(float(((one - two) ** 2).sum()) / one.numel() / 2)
    total = 0.0
    for a, b in zip(one, two, strict=True):
        maps = [(image**2).sum(0) for image in (a, b)]
        unit = [m / math.sqrt(float((m**2).sum())) for m in maps]
        total += float(((unit[0] - unit[1]) ** 2).sum()) / 2
    assert float(losses.attention(one, two)) == pytest.approx(total / 2, rel=1e-12)


def test_correlated_answers_by_hand() -> None:
    student, teacher, t = logits(0), logits(1), 2.0
    mine = [probabilities(row, t) for row in student]
    theirs = [probabilities(row, t) for row in teacher]
    inter = sum(1 - statistics.correlation(a, b) for a, b in zip(mine, theirs, strict=True)) / 5
    columns = zip(zip(*mine, strict=True), zip(*theirs, strict=True), strict=True)
    intra = sum(1 - statistics.correlation(a, b) for a, b in columns) / 4
    found = losses.correlated(student, teacher, beta=3.0, gamma=0.5, temperature=t)
    assert float(found) == pytest.approx(t**2 * (3 * inter + 0.5 * intra), rel=1e-9)


def test_answers_that_rise_and_fall_together_correlate() -> None:
    """What DIST asks is met by probabilities that are linear in the teacher's, which the classical loss refuses."""
    teacher = torch.softmax(logits(1), 1)
    mixed = (teacher / 2 + 1 / 8).log()
    assert float(
        losses.correlated(mixed, teacher.log(), beta=1.0, gamma=1.0, temperature=1.0)
    ) == pytest.approx(0, abs=1e-12)
    assert float(losses.softened(mixed, teacher.log(), 1.0)) > 0.01


def test_relations_by_hand() -> None:
    def huber(one: float, two: float) -> float:
        apart = abs(one - two)
        return apart**2 / 2 if apart <= 1 else apart - 0.5

    def distances(rows: list[list[float]]) -> list[float]:
        apart = [math.dist(a, b) for a in rows for b in rows]
        return [d / (sum(apart) / 20) for d in apart]  # the mean of the 5 · 4 pairs of two images

    def cosines(rows: list[list[float]]) -> list[float]:
        found = []
        for at in rows:
            for one in rows:
                for two in rows:
                    u, v = ([x - y for x, y in zip(end, at, strict=True)] for end in (one, two))
                    length = math.hypot(*u) * math.hypot(*v)
                    found.append(sum(x * y for x, y in zip(u, v, strict=True)) / length if length else 0.0)
        return found

    student, teacher = logits(0), logits(1)[:, :3] * 10
    both = student.tolist(), teacher.tolist()
    parts = []
    for relation in (distances, cosines):
        mine, theirs = (relation(rows) for rows in both)
        parts.append(sum(huber(a, b) for a, b in zip(mine, theirs, strict=True)) / len(mine))
    found = losses.relations(student, teacher, distance=25.0, angle=50.0)
    assert float(found) == pytest.approx(25 * parts[0] + 50 * parts[1], rel=1e-9)


def test_relations_do_not_see_how_large_or_turned_features_are() -> None:
    student = logits(0).requires_grad_()
    turn, _ = torch.linalg.qr(logits(2)[:4])
    found = losses.relations(student, 7 * logits(0) @ turn + 3, distance=1.0, angle=1.0)
    assert found.item() == pytest.approx(0, abs=1e-12)
    found.backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all()), "also where an image is compared with itself"


@pytest.mark.parametrize("method", METHODS)
def test_the_step_s_loss_is_the_sum_its_parameters_say(method: str) -> None:
    student, teacher = small_model(seed=1).eval(), small_model(seed=2).eval()
    params = made(method=method, label_smoothing=0.1)
    objective = taught(student, teacher, params, context_for())
    images, targets = next(digits().batches(digits().train, 16))
    a, b = student(images), teacher(images)
    hard = nn.functional.cross_entropy(a, targets, label_smoothing=0.1)
    chosen: Any = params.method
    if method == "decoupled":
        soft = losses.decoupled(
            a, b, targets, alpha=chosen.target, beta=chosen.others, temperature=chosen.temperature
        )
        expected = hard + soft
    elif method == "dist":
        expected = hard + losses.correlated(a, b, beta=2.0, gamma=2.0, temperature=4.0)
    else:
        soft = losses.softened(a, b, chosen.temperature)
        expected = (1 - chosen.alpha) * hard + chosen.alpha * soft
    for number, name in enumerate([pair.student for pair in objective.pairs]):
        with features.captured(student, [name]) as mine, features.captured(teacher, [name]) as theirs:
            student(images)
            teacher(images)
        if method == "features":
            assert isinstance(objective.extra, nn.ModuleList)
            distance = chosen.beta * losses.hint(objective.extra[number](mine[name]), theirs[name])
        elif method == "relations":
            pooled = (maps[name].mean((2, 3)) for maps in (mine, theirs))
            distance = losses.relations(*pooled, distance=25.0, angle=50.0)
        else:
            distance = chosen.beta * losses.attention(mine[name], theirs[name])
        expected = expected + distance
    assert len(objective.pairs) == {"features": 3, "attention": 3, "relations": 1}.get(method, 0)
    torch.testing.assert_close(objective.loss(student, images, targets, 1.0), expected)


def test_decoupled_warms_up() -> None:
    student, teacher = small_model(seed=1).eval(), small_model(seed=2).eval()
    objective = taught(student, teacher, made(method={"kind": "decoupled", "warmup": 0.5}), context_for())
    images, targets = next(digits().batches(digits().train, 16))
    losses_at = [objective.loss(student, images, targets, done).item() for done in (0.0, 0.25, 0.5, 1.0)]
    hard = nn.functional.cross_entropy(student(images), targets).item()
    assert losses_at[0] == pytest.approx(hard, rel=1e-6)
    assert losses_at[1] - hard == pytest.approx((losses_at[2] - hard) / 2, rel=1e-5)
    assert losses_at[2] == losses_at[3]


@pytest.mark.parametrize("method", METHODS)
def test_only_the_student_learns(method: str) -> None:
    student, context = small_model(), lesson()
    teacher = context.teacher
    assert teacher is not None
    before, started = state(teacher), state(student)
    trained = distill(student, made(method=method), context)
    assert same(state(teacher), before), "weights and BatchNorm statistics"
    assert all(p.grad is None for p in teacher.parameters())
    assert not same(state(trained), started)


@pytest.mark.parametrize("method", METHODS)
def test_what_helps_to_train_is_gone_from_the_checkpoint(method: str, tmp_path: Path) -> None:
    trained = distill(small_model(), made(method=method), lesson(teacher=small_model(seed=7, width=16)))
    assert trained.state_dict().keys() == small_model().state_dict().keys()
    checkpoint.save(trained.eval(), tmp_path)
    assert same(state(checkpoint.load(tmp_path)), state(trained))


@pytest.mark.parametrize("method", ["decoupled", "features"])
def test_an_interrupted_lesson_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The projections and what the optimizer knows of them are kept too."""
    params = made(method=method, epochs=3, optimizer="adam", learning_rate=0.01, augment="crop", keep="best")
    undisturbed = state(distill(small_model(), params, lesson()))
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    context = lesson(partial=tmp_path)

    stop_in_third_epoch(context)
    with pytest.raises(Interrupted):
        distill(small_model(), params, context)
    assert list(tmp_path.rglob("epoch-00002"))
    assert same(state(distill(small_model(), params, lesson(partial=tmp_path))), undisturbed)


def test_without_a_teacher_it_is_plain_training() -> None:
    plain = fit(small_model(), Finetune(epochs=1, batch=64), context_for())
    assert same(state(distill(small_model(), made(teacher="none"), context_for())), state(plain))


@pytest.mark.parametrize("method", METHODS)
def test_without_labels_no_label_has_a_part(method: str) -> None:
    data = digits()
    train = data.train
    wrong = replace(data, train=Split(train.images, torch.zeros_like(train.labels)))
    params = made(method=method, labels=False)
    assert same(
        state(distill(small_model(), params, lesson(data))),
        state(distill(small_model(), params, lesson(wrong))),
    )


def test_a_student_follows_its_teacher_without_labels() -> None:
    teacher = fit(small_model(), Train(epochs=6, learning_rate=0.2, batch=64), context_for()).eval()
    params = made(labels=False, epochs=8, learning_rate=0.05, schedule="onecycle")
    student = distill(small_model(seed=3), params, lesson(teacher=teacher))
    device = torch.device("cpu")
    one, two = (score(model, digits(), digits().test, device) for model in (student, teacher))
    assert agreement(one.predictions, two.predictions) > 0.75


def test_a_student_that_is_its_teacher_agrees_and_loses_nothing() -> None:
    teacher = small_model(seed=4).eval()
    student = copy.deepcopy(teacher)
    images, targets = next(digits().batches(digits().train, 16))
    objective = taught(student, teacher, made(method={"kind": "logits", "alpha": 1.0}), context_for())
    assert objective.loss(student, images, targets, 1.0).item() == pytest.approx(0, abs=1e-6)
    predictions = [
        score(m, digits(), digits().test, torch.device("cpu")).predictions for m in (student, teacher)
    ]
    assert agreement(*predictions) == 1


def test_stages_of_other_networks_are_paired_by_size() -> None:
    """ResNet20's and MobileNetV2's at 32 pixels: 16 and 8 are in both, 32 and 4 are in one."""
    sizes = {"channels": 1, "classes": 10, "size": (32, 32), "seed": 0}
    student, _ = create(Model(name="torchvision/mobilenet_v2"), **sizes)  # type: ignore[arg-type]
    teacher, _ = create(Model(name="resnet20", arguments={"width": 4}), **sizes)  # type: ignore[arg-type]
    layers = [features.outputs(model, torch.zeros(1, 1, 32, 32)) for model in (student, teacher)]
    found = features.pairs(layers[0], layers[1], ())
    assert [pair.teacher for pair in found] == ["layer2", "layer3"]
    for pair in found:
        assert layers[0][pair.student].size == layers[1][pair.teacher].size
    assert features.pairs(layers[0], layers[1], ("features.3=layer1",)) == [
        features.Pair("features.3", "layer1")
    ]


def test_maps_of_other_sizes_are_averaged_to_the_smaller() -> None:
    one, two = features.of_one_size(torch.ones(1, 2, 8, 8), torch.ones(1, 3, 4, 6))
    assert one.shape == (1, 2, 4, 6)
    assert two.shape == (1, 3, 4, 6)


def test_a_layer_that_is_not_there_is_told_with_those_that_are() -> None:
    params = made(method={"kind": "attention", "layers": ["layer9"]})
    with pytest.raises(SecateurError, match=r"student has no layer layer9[\s\S]*layer1, layer2, layer3"):
        distill(small_model(), params, lesson())


def test_a_teacher_of_other_classes_is_refused() -> None:
    other, _ = create(
        Model(name="resnet20", arguments={"width": 4}), channels=1, classes=7, size=(8, 8), seed=0
    )
    with pytest.raises(SecateurError, match=r"does not fit[\s\S]*7 classes[\s\S]*10"):
        distill(small_model(), made(), lesson(teacher=other))


def test_a_file_for_other_classes_has_to_be_trained_first(tmp_path: Path) -> None:
    other, _ = create(
        Model(name="resnet20", arguments={"width": 4}), channels=1, classes=7, size=(8, 8), seed=0
    )
    torch.save(other.state_dict(), tmp_path / "seven.pth")
    teacher = {"kind": "model", "weights": str(tmp_path / "seven.pth")}
    with pytest.raises(SecateurError, match=r"other classes[\s\S]*teacher.train"):
        teach(made(teacher=teacher), context_for())
    events: list[ev.Event] = []
    trained = teach(
        made(teacher={**teacher, "train": {"epochs": 1, "batch": 64}}), context_for(events=events)
    )
    assert trained(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert any(isinstance(event, ev.EpochFinished) for event in events)


def test_a_teacher_from_a_checkpoint_answers_as_it_did(tmp_path: Path) -> None:
    model = small_model(seed=5).eval()
    checkpoint.save(model, tmp_path)
    teacher = teach(made(teacher={"kind": "model", "weights": str(tmp_path)}), context_for())
    images, _ = next(digits().batches(digits().train, 8))
    assert torch.equal(teacher(images), model(images))


def test_boxes_are_refused() -> None:
    context = lesson(replace(digits(), task="detection"))
    with pytest.raises(SecateurError, match="classifiers"):
        distill(small_model(), made(), context)
