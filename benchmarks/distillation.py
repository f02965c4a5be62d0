"""Distillation of ResNet18 into MobileNetV2 against the same training without a teacher.

For each seed a teacher is trained, and a student twice from the same weights on the same batches: with the teacher's
answers, and with the labels alone (the control). Epochs are chosen on validation, the test split is scored once.

    python -m benchmarks.distillation [--teacher torchvision/resnet18] [--model torchvision/mobilenet_v2]
                                      [--size 32] [--epochs 8] [--finetune 12] [--seeds 0 1 2] [--distill alpha=0.9 …]

--epochs and --rate are the teacher's, --finetune and --finetune-rate the student's. Prints accuracy, the gain over the
control and the share of test images that student and teacher answer alike (goal: at least 95 %), as mean ± deviation.
Results are kept in --folder.
"""

import argparse
from functools import partial
from typing import Any

from torch import nn

from benchmarks import trained
from engine.compute.context import to_device
from engine.compute.data import Dataset
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.compute.tasks.evaluate import score
from engine.params import Distill
from engine.params.distillation import NoTeacher
from engine.params.preset import Model

GOAL_AGREEMENT = 95.0


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    teacher = trained.baseline(argparse.Namespace(**{**vars(args), "model": args.teacher}), data, seed).eval()
    answers = score(teacher, data, data.test, trained.CPU)
    measured: dict[str, Any] = {"teacher": 100 * answers.accuracy}
    for arm in ("taught", "control"):
        own = score(student(args, data, seed, teacher, arm), data, data.test, trained.CPU)
        agreed = (own.predictions == answers.predictions).float().mean()
        measured |= {arm: 100 * own.accuracy, f"{arm} agreement": 100 * float(agreed)}
        print(f"seed {seed} {arm}: {measured[arm]:.2f} %", flush=True)
    return measured


def student(args: argparse.Namespace, data: Dataset, seed: int, teacher: nn.Module, arm: str) -> nn.Module:
    params = Model(name=args.model)
    model, _ = create(params, channels=data.channels, classes=data.classes, size=data.size, seed=seed)
    given = {"schedule": "onecycle", **trained.settings(args.distill)}
    common = trained.finetune(args).model_dump(exclude={"id", "enabled"})
    step = Distill.model_validate({**common, **given}, strict=False)
    if arm == "control":
        step = step.model_copy(update={"teacher": NoTeacher(), "labels": True})
    context = trained.context(data, seed, 1)
    context.teacher = teacher
    return apply(step, to_device(model, trained.CPU), context)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/distillation")
    parser.set_defaults(
        model="torchvision/mobilenet_v2", size=32, epochs=8, rate=0.1, finetune=12, finetune_rate=0.1
    )
    parser.add_argument("--teacher", default="torchvision/resnet18")
    parser.add_argument("--distill", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = parser.parse_args()
    data = trained.prepare(args)
    about = ["distill", args.teacher, *sorted(args.distill)]
    trials = [trained.kept(args, [*about, seed], partial(trial, args, data, seed)) for seed in args.seeds]
    for name in ("teacher", "control", "taught", "control agreement", "taught agreement"):
        print(f"{name:18} {trained.spread([one[name] for one in trials])} %")
    print(
        f"gain over the control {trained.spread([one['taught'] - one['control'] for one in trials])} points"
    )
    reached = min(one["taught agreement"] for one in trials) >= GOAL_AGREEMENT
    print(f"agreement with the teacher ≥ {GOAL_AGREEMENT:g} %: {'met' if reached else 'NOT met'}")


if __name__ == "__main__":
    main()
