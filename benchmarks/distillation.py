"""Distillation of ResNet18 into MobileNetV2 against the same training without a teacher.

For each seed a teacher is trained, and a student twice from the same weights on the same batches: with the teacher's
answers, and with the labels alone (the control). Epochs are chosen on validation, the test split is scored once.

    python -m benchmarks.distillation [--teacher torchvision/resnet18] [--model torchvision/mobilenet_v2]
                                      [--size 32] [--epochs 8] [--finetune 12] [--seeds 0 1 2] [--distill alpha=0.9 …]

--epochs and --rate are the teacher's, --finetune and --finetune-rate the student's. Prints accuracy, the gain over the
control and the share of test images that student and teacher answer alike (goal: at least 95 %), as mean ± deviation,
and writes them to benchmarks/results/distillation.json. Each seed's are kept in --folder.
"""

import argparse
import sys
from functools import partial
from typing import Any

from torch import nn

from benchmarks import results, trained
from engine.compute.context import to_device
from engine.compute.data import Dataset
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.compute.tasks.evaluate import score
from engine.params import Distill
from engine.params.distillation import NoTeacher
from engine.params.preset import Model
from engine.text.phrases import counted

GOAL_AGREEMENT = 95.0
TITLE = "Distillation"
QUICK_BEHIND = 1.0
"""Three of the test split's images: of so few, and of two seeds, no more can be said."""
QUICK = f"--teacher resnet20 --model resnet20 {trained.DIGITS} --finetune 8 --finetune-rate 0.1 --seeds 0 1"


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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/distillation")
    parser.set_defaults(
        model="torchvision/mobilenet_v2", size=32, epochs=8, rate=0.1, finetune=12, finetune_rate=0.1
    )
    parser.add_argument("--teacher", default="torchvision/resnet18")
    parser.add_argument("--distill", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = trained.parsed(parser, QUICK)
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
    if args.quick:
        gained = sum(one["taught agreement"] - one["control agreement"] for one in trials) / len(trials)
        return results.judged(
            {
                f"taught, it agrees with its teacher at most {QUICK_BEHIND:g} point less than without": gained
                >= -QUICK_BEHIND
            }
        )
    results.write("distillation", rows(trials), title=TITLE, about=described(args))
    return 0


def rows(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results' table: the student with and without its teacher."""

    def row(student: str, arm: str, others: str = "") -> dict[str, Any]:
        return {
            "student": student,
            "test accuracy (%)": results.mean_and_deviation([one[arm] for one in trials]),
            "agreement with the teacher (%)": results.mean_and_deviation(
                [one[f"{arm} agreement"] for one in trials]
            ),
            "above the same without a teacher (points)": None
            if not others
            else results.mean_and_deviation([one[arm] - one[others] for one in trials]),
        }

    return [row("taught", "taught", "control"), row("the same training without a teacher", "control")]


def described(args: argparse.Namespace) -> str:
    """What holds for all rows."""
    given = f" ({', '.join(args.distill)})" if args.distill else ""
    return (
        f"{args.model} taught by {args.teacher}{given}: {args.images or 'all'} images of {args.data} at {args.size} px,"
        f" {counted(len(args.seeds), 'seed')}; the teacher has {args.epochs} epochs, the student {args.finetune}."
    )


if __name__ == "__main__":
    sys.exit(main())
