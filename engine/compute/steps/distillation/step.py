"""`distill`: training with a teacher, and the teacher itself where it is a network of its own."""

from torch import nn

from engine.compute.context import Context
from engine.compute.models.architecture import architecture
from engine.compute.pretrained.create import create
from engine.compute.steps.distillation.objective import taught
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params.distillation import Distill, ModelTeacher, NoTeacher
from engine.text.phrases import counted


def distill(model: nn.Module, params: Distill, context: Context) -> nn.Module:
    """Train the model in place with `context.teacher`, which stays as it is.

    Raises SecateurError for a detector, for a teacher of other classes and for layers that can't be compared.
    """
    if isinstance(params.teacher, NoTeacher):
        return fit(model, params, context)
    if context.data.task == "detection":
        raise SecateurError(
            "distill is for classifiers",
            "The data has boxes, and a teacher's boxes are nothing that this step can follow.",
            "Use finetune, or distill with teacher: none.",
        )
    teacher = context.teacher
    if teacher is None:
        raise SecateurError("distill has no teacher", "", "Name one with teacher.")
    _check(teacher, context)
    return fit(model, params, context, objective=taught(model, teacher, params, context))


def _check(teacher: nn.Module, context: Context) -> None:
    arch, data = architecture(teacher), context.data
    if (arch.channels, arch.classes) != (data.channels, data.classes):
        raise SecateurError(
            "The teacher does not fit the data",
            f"It takes {counted(arch.channels, 'channel')} and tells "
            f"{counted(arch.classes, 'class', 'classes')} apart; the data has {data.channels} and {data.classes}.",
            "Use a teacher that was trained on this data.",
        )


def teach(params: Distill, context: Context) -> nn.Module:
    """The teacher that the step names, with its weights, trained if it says how.

    Raises SecateurError when its weights are for other classes and it is not trained.
    """
    teacher = params.teacher
    assert isinstance(teacher, ModelTeacher)
    data = context.data
    model, facts = create(
        teacher,
        channels=data.channels,
        classes=data.classes,
        size=data.size,
        seed=context.seed,
        task=data.task,
    )
    if facts["new_head"] and teacher.train is None:
        raise SecateurError(
            f"The teacher {teacher.title} tells other classes apart than the data's {data.classes}",
            "Its last layer would be a random one.",
            "Train it on the data first: teacher.train: {epochs: …}, or use weights that were.",
        )
    for level, text in facts["notices"]:
        context.notice(level, f"teacher: {text}")
    return model if teacher.train is None else fit(model, teacher.train, context)
