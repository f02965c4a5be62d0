"""The loss of a student: the labels, and what the chosen method takes from the teacher."""

from dataclasses import dataclass, field
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.context import Context, to_device
from engine.compute.numerics.seeds import seed_everything
from engine.compute.steps.distillation import features, losses
from engine.compute.tasks.output import main_output
from engine.params.distillation import (
    Attention,
    Correlated,
    Decoupled,
    Distill,
    Features,
    Inside,
    Logits,
    Relational,
)

TRIPLETS = 128
"""Images whose triplets are compared together: of a larger batch, parts of so many. Its cube is what they take."""


@dataclass
class Taught:
    """The objective of a `distill` step; the teacher sees the very images that the student sees."""

    teacher: nn.Module
    params: Distill
    pairs: list[features.Pair] = field(default_factory=list)
    extra: nn.Module | None = None
    """The projections of `features`."""

    def loss(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> Tensor:
        with features.captured(model, [pair.student for pair in self.pairs]) as mine:
            student = main_output(model(images)).float()
        with torch.no_grad(), features.captured(self.teacher, [p.teacher for p in self.pairs]) as theirs:
            teacher = self.teacher(images).float()
        method = self.params.method
        total = self._answers(student, teacher, targets, progress)
        if isinstance(method, Inside):
            total = total + method.beta * self._inside(mine, theirs)
        elif isinstance(method, Relational):
            total = total + self._relations(method, mine, theirs)
        return total

    def _answers(self, student: Tensor, teacher: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The loss of the network's output."""
        match self.params.method:
            case Decoupled() as method:
                return self._decoupled(method, student, teacher, targets, progress)
            case Correlated() as method:
                soft = losses.correlated(
                    student, teacher, beta=method.beta, gamma=method.gamma, temperature=method.temperature
                )
                return soft + self._labels(student, targets) if self.params.labels else soft
            case Logits() | Features() | Attention() | Relational() as method:
                soft = losses.softened(student, teacher, method.temperature)
                if not self.params.labels:
                    return soft
                return (1 - method.alpha) * self._labels(student, targets) + method.alpha * soft
            case _:
                assert_never(self.params.method)

    def _decoupled(
        self, method: Decoupled, student: Tensor, teacher: Tensor, targets: Tensor, progress: float
    ) -> Tensor:
        known = self.params.labels
        soft = losses.decoupled(
            student,
            teacher,
            targets if known else teacher.argmax(1),
            alpha=method.target,
            beta=method.others,
            temperature=method.temperature,
        )
        if not known:
            return soft
        weight = min(progress / method.warmup, 1.0) if method.warmup else 1.0
        return self._labels(student, targets) + weight * soft

    def _labels(self, student: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(student, targets, label_smoothing=self.params.label_smoothing)

    def _inside(self, mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> Tensor:
        """The distances of the paired layers, summed."""
        total = torch.zeros((), device=next(iter(mine.values())).device)
        for number, pair in enumerate(self.pairs):
            student, teacher = mine[pair.student], theirs[pair.teacher]
            if isinstance(self.extra, nn.ModuleList):
                student = self.extra[number](student)
                total = total + losses.hint(*features.of_one_size(student.float(), teacher.float()))
            else:
                total = total + losses.attention(*features.of_one_size(student.float(), teacher.float()))
        return total

    def _relations(self, method: Relational, mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> Tensor:
        """The relations between images in the paired layers, summed; of each map its mean over the image counts."""
        total = torch.zeros((), device=next(iter(mine.values())).device)
        for pair in self.pairs:
            student, teacher = (
                maps.float().mean((2, 3)) for maps in (mine[pair.student], theirs[pair.teacher])
            )
            # Not in bf16: a cosine of three digits says little of images that are alike.
            with torch.autocast(student.device.type, enabled=False):
                parts = zip(torch.split(student, TRIPLETS), torch.split(teacher, TRIPLETS), strict=True)
                for one, two in parts:
                    loss = losses.relations(one, two, distance=method.distance, angle=method.angle)
                    total = total + loss * (len(one) / len(student))
        return total


def taught(model: nn.Module, teacher: nn.Module, params: Distill, context: Context) -> Taught:
    """The objective for training `model`; its projections are random, from the seed.

    Raises SecateurError for layers that can't be compared.
    """
    teacher.eval().requires_grad_(False)
    method = params.method
    if not isinstance(method, Inside | Relational):
        return Taught(teacher, params)
    example = torch.zeros(1, context.data.channels, *context.data.size, device=context.device)
    student_layers, teacher_layers = features.outputs(model, example), features.outputs(teacher, example)
    compared = features.pairs(student_layers, teacher_layers, method.layers)
    if isinstance(method, Relational) and not method.layers:
        compared = compared[-1:]
    described = ", ".join(f"{pair.student} after {pair.teacher}" for pair in compared)
    context.notice("info", f"Layers compared with the teacher's: {described}")
    if not isinstance(method, Features):
        return Taught(teacher, params, compared)
    seed_everything(context.seed, "projections", context.position)
    return Taught(
        teacher,
        params,
        compared,
        to_device(features.projections(compared, student_layers, teacher_layers), context.device),
    )
